// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Errors as values. A message is one line: what, where, the remedy.
#pragma once

#include <cassert>
#include <optional>
#include <string>
#include <utility>

namespace hatchery {

enum class StatusCode {
  kOk,
  kInvalidArgument,     // the caller's input is wrong
  kNotFound,            // the named thing does not exist
  kAlreadyExists,       // the named thing exists and must not
  kFailedPrecondition,  // right input, wrong state (version, step, lock)
  kResourceExhausted,   // disk, memory or a quota is full
  kDataLoss,            // stored bytes are not what was written
  kUnavailable,         // a peer cannot be reached; trying again may help
  kCancelled,           // stopped on request
  kInternal,            // a broken invariant of ours
};

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }
  // What it is about, for programs; may be empty. Of kInvalidArgument a field, "noise.rank"; of
  // kNotFound and kFailedPrecondition a kind of thing and its name, "job/7"; of kResourceExhausted
  // the option whose limit is reached.
  const std::string& subject() const { return subject_; }
  Status About(std::string subject) && {
    subject_ = std::move(subject);
    return std::move(*this);
  }

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_, subject_;
};

inline Status InvalidArgument(std::string m) {
  return {StatusCode::kInvalidArgument, std::move(m)};
}
inline Status NotFound(std::string m) { return {StatusCode::kNotFound, std::move(m)}; }
inline Status AlreadyExists(std::string m) { return {StatusCode::kAlreadyExists, std::move(m)}; }
inline Status FailedPrecondition(std::string m) {
  return {StatusCode::kFailedPrecondition, std::move(m)};
}
inline Status ResourceExhausted(std::string m) {
  return {StatusCode::kResourceExhausted, std::move(m)};
}
inline Status DataLoss(std::string m) { return {StatusCode::kDataLoss, std::move(m)}; }
inline Status Unavailable(std::string m) { return {StatusCode::kUnavailable, std::move(m)}; }
inline Status Cancelled(std::string m) { return {StatusCode::kCancelled, std::move(m)}; }
inline Status InternalError(std::string m) { return {StatusCode::kInternal, std::move(m)}; }

// A value or the reason that there is none. Reading the value of a failure aborts.
template <typename T>
class [[nodiscard]] StatusOr {
 public:
  StatusOr(T value) : value_(std::move(value)) {}
  StatusOr(Status status) : status_(std::move(status)) { assert(!status_.ok()); }

  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }
  T& operator*() { return value_.value(); }
  const T& operator*() const { return value_.value(); }
  T* operator->() { return &value_.value(); }
  const T* operator->() const { return &value_.value(); }

 private:
  Status status_;
  std::optional<T> value_;
};

}  // namespace hatchery

// Returns the status of `expression` from the enclosing function if it is an error.
#define HATCHERY_RETURN_IF_ERROR(expression)                                        \
  do {                                                                              \
    if (::hatchery::Status hatchery_status_ = (expression); !hatchery_status_.ok()) \
      return hatchery_status_;                                                      \
  } while (false)

#define HATCHERY_CONCAT_INNER_(a, b) a##b
#define HATCHERY_CONCAT_(a, b) HATCHERY_CONCAT_INNER_(a, b)
// Declares `target` with the value of the StatusOr `expression`, or returns its status.
#define HATCHERY_ASSIGN_OR_RETURN(target, expression)           \
  auto HATCHERY_CONCAT_(hatchery_or_, __LINE__) = (expression); \
  if (!HATCHERY_CONCAT_(hatchery_or_, __LINE__).ok())           \
    return HATCHERY_CONCAT_(hatchery_or_, __LINE__).status();   \
  target = std::move(*HATCHERY_CONCAT_(hatchery_or_, __LINE__))
