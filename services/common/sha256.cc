// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/sha256.h"

#include <openssl/evp.h>

#include <cassert>
#include <vector>

#include "services/common/disk.h"

namespace hatchery {

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  const int ok = EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr);
  assert(ok == 1);
  (void)ok;
}
Sha256::~Sha256() = default;

void Sha256::Update(std::string_view bytes) {
  const int ok = EVP_DigestUpdate(state_->context, bytes.data(), bytes.size());
  assert(ok == 1);
  (void)ok;
}

Sha256Hash Sha256::Finish() {
  Sha256Hash hash;
  const int ok = EVP_DigestFinal_ex(state_->context, hash.data(), nullptr);
  assert(ok == 1);
  (void)ok;
  return hash;
}

Sha256Hash Sha256Of(std::string_view bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return hash.Finish();
}

StatusOr<Sha256Hash> Sha256OfFile(const std::string& path) {
  constexpr uint64_t kPiece = 1 << 20;
  HATCHERY_ASSIGN_OR_RETURN(auto file, PosixDisk().OpenRead(path));
  Sha256 hash;
  for (uint64_t offset = 0;; offset += kPiece) {
    HATCHERY_ASSIGN_OR_RETURN(const std::string piece, file->Read(offset, kPiece));
    hash.Update(piece);
    if (piece.size() < kPiece) return hash.Finish();
  }
}

std::string ToHex(const Sha256Hash& hash) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  for (uint8_t byte : hash) {
    text += kHex[byte >> 4];
    text += kHex[byte & 15];
  }
  return text;
}

bool IsSha256Hex(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace hatchery
