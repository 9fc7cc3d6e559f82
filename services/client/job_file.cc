// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/client/job_file.h"

#include <google/protobuf/descriptor.h>
#include <yaml-cpp/anchor.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numeric>
#include <optional>
#include <sstream>

#include "hatchery/v1/options.pb.h"
#include "services/common/job.h"

namespace hatchery {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Fields of the proto that a job file does not set: `data` leads to them, or the client does.
bool IsDerived(const FieldDescriptor& field) {
  const std::string name(field.name());
  return name == "train" || name == "held_out" || name == "initial_digest" ||
         name == "initial_sha256";
}

void CollectNames(const Descriptor& type, const std::string& prefix,
                  std::vector<std::string>& names) {
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (IsDerived(field)) continue;
    if (field.message_type() != nullptr)
      CollectNames(*field.message_type(), prefix + std::string(field.name()) + ".", names);
    else
      names.push_back(prefix + std::string(field.name()));
  }
}

std::vector<std::string> AllNames() {
  std::vector<std::string> names = {"data.file", "data.held_out_file", "data.held_out_percent"};
  CollectNames(*v1::Job::descriptor(), "", names);
  return names;
}

size_t EditDistance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = above;
    }
  }
  return row[b.size()];
}

// "did you mean noise.seed?" of a field's name, or all of them if none is near. A name's last part
// may be all that was written.
std::string Suggestion(const std::string& name) {
  const auto distance = [&](const std::string& field) {
    const std::string last = field.substr(field.rfind('.') + 1);
    return std::min(EditDistance(name, field), EditDistance(name, last));
  };
  const std::vector<std::string> names = AllNames();
  const std::string nearest =
      *std::min_element(names.begin(), names.end(),
                        [&](const auto& a, const auto& b) { return distance(a) < distance(b); });
  if (distance(nearest) <= name.size() / 3 + 1) return "did you mean " + nearest + "?";
  std::string all;
  for (const std::string& field : names) all += (all.empty() ? "" : ", ") + field;
  return "the fields are " + all;
}

std::string LowerCase(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

std::string EnumChoices(const EnumDescriptor& type) {
  std::string choices;
  for (int i = 0; i < type.value_count(); ++i)
    choices += (i == 0 ? "" : " or ") + LowerCase(std::string(type.value(i)->name()));
  return choices;
}

std::string Shown(const std::string& text) { return text.empty() ? "empty" : text; }

template <typename T>
bool ParseNumber(const std::string& text, T& value) {
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && at == end;
}

// Puts YAML into a JobFile. `origin` is the file's name, or empty for a --set.
class Reader {
 public:
  Reader(std::string origin, JobFile& out) : origin_(std::move(origin)), out_(out) {}

  Status ReadMap(const YAML::Node& map, Message& message, const std::string& prefix) {
    if (!map.IsMap())
      return Error(map, (prefix.empty() ? "the job" : prefix) + " must be a map of fields");
    HATCHERY_RETURN_IF_ERROR(CheckKeys(map, prefix));
    for (const auto& entry : map) {
      const std::string& key = entry.first.Scalar();
      const std::string name = prefix.empty() ? key : prefix + "." + key;
      out_.origins[name] = Place(entry.first);
      HATCHERY_RETURN_IF_ERROR(ReadEntry(entry.first, entry.second, message, key, name));
    }
    return {};
  }

 private:
  // Keys are names, each given once; yaml-cpp takes anything, and the first of two.
  Status CheckKeys(const YAML::Node& map, const std::string& prefix) const {
    std::vector<std::string> seen;
    for (const auto& entry : map) {
      if (!entry.first.IsScalar())
        return Error(entry.first, "the name of a field" + (prefix.empty() ? "" : " of " + prefix) +
                                      " must be a word, not a map or a list");
      const std::string& key = entry.first.Scalar();
      if (std::find(seen.begin(), seen.end(), key) != seen.end())
        return Error(entry.first,
                     (prefix.empty() ? key : prefix + "." + key) + " is given twice; keep one");
      seen.push_back(key);
    }
    return {};
  }

  Status ReadEntry(const YAML::Node& key_node, const YAML::Node& value, Message& message,
                   const std::string& key, const std::string& name) {
    if (name == "data") return ReadData(value);
    const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(key);
    if (field == nullptr || IsDerived(*field))
      return Error(key_node, "unknown field " + name + "; " + Suggestion(name));
    if (field->message_type() != nullptr)
      return ReadMap(value, *message.GetReflection()->MutableMessage(&message, field), name);
    if (!value.IsScalar()) return Error(value, name + " must be a single value");
    if (name == "update.alpha_start") return ReadAlpha(value, name);
    return ReadScalar(value, *field, message, name);
  }

  Status ReadScalar(const YAML::Node& node, const FieldDescriptor& field, Message& message,
                    const std::string& name) {
    const std::string& text = node.Scalar();
    const auto* reflection = message.GetReflection();
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_STRING:
        reflection->SetString(&message, &field, text);
        return {};
      case FieldDescriptor::CPPTYPE_ENUM: {
        for (int i = 0; i < field.enum_type()->value_count(); ++i) {
          const auto* value = field.enum_type()->value(i);
          if (LowerCase(std::string(value->name())) != LowerCase(text)) continue;
          reflection->SetEnum(&message, &field, value);
          return {};
        }
        return Error(node,
                     name + " is '" + text + "'; it must be " + EnumChoices(*field.enum_type()));
      }
      case FieldDescriptor::CPPTYPE_INT32: {
        const v1::SignedRange& range = field.options().GetExtension(v1::signed_range);
        int32_t value;
        if (!ParseNumber(text, value) || value < range.min() || value > range.max())
          return Error(node, name + " is " + Shown(text) + "; it must be a whole number in [" +
                                 std::to_string(range.min()) + ", " + std::to_string(range.max()) +
                                 "]");
        reflection->SetInt32(&message, &field, value);
        return {};
      }
      default:
        return ReadUnsigned(node, field, message, name);
    }
  }

  Status ReadUnsigned(const YAML::Node& node, const FieldDescriptor& field, Message& message,
                      const std::string& name) {
    v1::Range range = field.options().GetExtension(v1::range);
    const bool wide = field.cpp_type() == FieldDescriptor::CPPTYPE_UINT64;
    if (range.max() == 0) range.set_max(wide ? UINT64_MAX : UINT32_MAX);
    uint64_t value;
    if (!ParseNumber(node.Scalar(), value) || value < range.min() || value > range.max()) {
      const std::string& unit = field.options().GetExtension(v1::unit);
      return Error(node, name + " is " + Shown(node.Scalar()) + "; it must be a whole number in [" +
                             std::to_string(range.min()) + ", " + std::to_string(range.max()) +
                             "]" + (unit.empty() ? "" : " " + unit));
    }
    if (wide)
      message.GetReflection()->SetUInt64(&message, &field, value);
    else
      message.GetReflection()->SetUInt32(&message, &field, static_cast<uint32_t>(value));
    return {};
  }

  // People write alpha as a fraction; the job carries it in 1/65536.
  Status ReadAlpha(const YAML::Node& node, const std::string& name) {
    const double fraction = node.as<double>(0);
    if (!(fraction >= 1.0 / 65536) || fraction > 1)
      return Error(node, name + " is " + Shown(node.Scalar()) +
                             "; it must be a fraction of the weights in [1/65536, 1]");
    out_.job.mutable_update()->set_alpha_start(static_cast<uint32_t>(fraction * 65536 + 0.5));
    return {};
  }

  Status ReadData(const YAML::Node& map) {
    if (!map.IsMap()) return Error(map, "data must be a map of fields");
    HATCHERY_RETURN_IF_ERROR(CheckKeys(map, "data"));
    for (const auto& entry : map) {
      const std::string& key = entry.first.Scalar();
      const std::string name = "data." + key;
      if (!entry.second.IsScalar()) return Error(entry.second, name + " must be a single value");
      const std::string& text = entry.second.Scalar();
      if (key == "file") {
        out_.data_path = Resolve(text);
      } else if (key == "held_out_file") {
        out_.held_out_path = Resolve(text);
      } else if (key == "held_out_percent") {
        if (!ParseNumber(text, out_.held_out_percent) || out_.held_out_percent > 90)
          return Error(entry.second, name + " is " + Shown(text) +
                                         "; it must be a whole number in [0, 90] percent");
      } else {
        return Error(entry.first, "unknown field " + name + "; " + Suggestion(name));
      }
    }
    return {};
  }

  // Paths in a job file are relative to it, on a command line to the working directory.
  std::string Resolve(const std::string& path) const {
    if (origin_.empty() || path.empty()) return path;
    return (std::filesystem::path(origin_).parent_path() / path).lexically_normal().string();
  }

  // Where `node` is, for people.
  std::string Place(const YAML::Node& node) const {
    return origin_.empty() ? "--set" : origin_ + ":" + std::to_string(node.Mark().line + 1);
  }

  Status Error(const YAML::Node& node, const std::string& what) const {
    return InvalidArgument(Place(node) + ": " + what);
  }

  const std::string origin_;
  JobFile& out_;
};

// All of the job file, which may be a pipe.
StatusOr<std::string> ReadText(const std::string& path) {
  std::error_code ignored;
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path, ignored))
    return NotFound("cannot read the job file " + path + "; give the path of a YAML file");
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// The line on which a document's content begins; none if it is empty.
class DocumentLine : public YAML::EventHandler {
 public:
  std::optional<int> line;

  void OnDocumentStart(const YAML::Mark&) override { line.reset(); }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { Content(mark); }
  void OnScalar(const YAML::Mark& mark, const std::string&, YAML::anchor_t,
                const std::string&) override {
    Content(mark);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    Content(mark);
  }
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {
    Content(mark);
  }
  void OnMapEnd() override {}

 private:
  void Content(const YAML::Mark& mark) {
    if (!line) line = mark.line + 1;
  }
};

// The line of the text's second document. YAML::LoadAll would tell, but of some malformed texts,
// such as ",", it makes documents without end.
std::optional<int> SecondDocument(const std::string& text) {
  std::istringstream in(text);
  YAML::Parser parser(in);
  DocumentLine document;
  if (!parser.HandleNextDocument(document) || !parser.HandleNextDocument(document)) return {};
  return document.line;
}

Status ReadYaml(const std::string& path, JobFile& out) {
  HATCHERY_ASSIGN_OR_RETURN(const std::string text, ReadText(path));
  try {
    const YAML::Node document = YAML::Load(text);
    if (document.IsNull())
      return InvalidArgument(path +
                             " is empty; name at least one field in it, such as steps (every " +
                             "field but data.file has a default)");
    if (const auto second = SecondDocument(text))
      return InvalidArgument(
          path + ":" + std::to_string(*second) +
          ": a second YAML document; a job file holds one job, so use a file each");
    return Reader(path, out).ReadMap(document, out.job, "");
  } catch (const YAML::Exception& error) {
    return InvalidArgument(path + ":" + std::to_string(error.mark.line + 1) +
                           ": not valid YAML: " + error.msg);
  }
}

Status ApplySet(const std::string& set, JobFile& out) {
  const size_t equals = set.find('=');
  if (equals == std::string::npos || equals == 0)
    return InvalidArgument("--set " + set + ": write it as field=value, e.g. noise.rank=2");
  YAML::Node node(set.substr(equals + 1));
  std::string name = set.substr(0, equals);
  while (true) {  // a.b=v is the map {a: {b: v}}
    const size_t dot = name.rfind('.');
    YAML::Node map(YAML::NodeType::Map);
    map[dot == std::string::npos ? name : name.substr(dot + 1)] = node;
    node.reset(map);
    if (dot == std::string::npos) break;
    name.resize(dot);
  }
  return Reader("", out).ReadMap(node, out.job, "");
}

StatusOr<std::shared_ptr<const MappedFile>> OpenData(const std::string& field,
                                                     const std::string& path) {
  auto file = MappedFile::Open(path);
  if (!file.ok())
    return Status(file.status().code(), field + ": " + file.status().message() +
                                            "; give the path of a text file with --data");
  if ((*file)->bytes().empty())
    return InvalidArgument(field + ": " + path + " is empty; give a file with text in it");
  return file;
}

v1::DataSplit Split(const MappedFile& file, const std::string& sha256, uint64_t begin,
                    uint64_t end) {
  v1::DataSplit split;
  split.set_sha256(sha256);
  split.set_file_bytes(file.bytes().size());
  split.set_begin(begin);
  split.set_end(end);
  return split;
}

// Where the job breaks a rule that involves several fields: at the first field in `what` that was
// given.
std::string PlaceOf(const std::string& what, const std::string& path, const JobFile& file) {
  std::istringstream words(what);
  for (std::string word; words >> word;)
    if (const auto found = file.origins.find(word); found != file.origins.end())
      return found->second;
  return path;
}

StatusOr<JobFile> Read(const std::string& path, const std::vector<std::string>& sets) {
  JobFile file;
  file.job = DefaultJob();
  HATCHERY_RETURN_IF_ERROR(ReadYaml(path, file));
  for (const std::string& set : sets) HATCHERY_RETURN_IF_ERROR(ApplySet(set, file));
  if (auto spec = SpecFromJob(file.job); !spec.ok())
    return InvalidArgument(PlaceOf(spec.status().message(), path, file) + ": " +
                           spec.status().message());
  return file;
}

}  // namespace

StatusOr<JobFile> ReadJobFile(const std::string& path, const std::vector<std::string>& sets) {
  StatusOr<JobFile> file = Read(path, sets);
  if (file.ok()) return file;
  // Names and values of the file are quoted, and YAML's may hold anything: it stays one line.
  std::string line = file.status().message();
  for (char& c : line)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
  return Status(file.status().code(), std::move(line));
}

StatusOr<PreparedJob> PrepareJob(JobFile file, const std::string& data_override) {
  const std::string field = data_override.empty() ? "data.file" : "--data";
  const std::string path = data_override.empty() ? file.data_path : data_override;
  if (path.empty())
    return InvalidArgument("the job names no data; set data.file in it, or give --data FILE");
  PreparedJob prepared;
  HATCHERY_ASSIGN_OR_RETURN(prepared.train, OpenData(field, path));
  const uint64_t size = prepared.train->bytes().size();
  const std::string sha256 = prepared.train->Sha256Hex();
  uint64_t train_end = size;
  if (!file.held_out_path.empty()) {
    HATCHERY_ASSIGN_OR_RETURN(prepared.held_out,
                              OpenData("data.held_out_file", file.held_out_path));
    *file.job.mutable_held_out() = Split(*prepared.held_out, prepared.held_out->Sha256Hex(), 0,
                                         prepared.held_out->bytes().size());
  } else if (file.held_out_percent > 0) {
    train_end = size * (100 - file.held_out_percent) / 100;
    prepared.held_out = prepared.train;
    *file.job.mutable_held_out() = Split(*prepared.train, sha256, train_end, size);
  }
  *file.job.mutable_train() = Split(*prepared.train, sha256, 0, train_end);
  if (Status valid = ValidateJob(file.job); !valid.ok())
    return Status(valid.code(), path + ": " + valid.message());
  prepared.job = std::move(file.job);
  return prepared;
}

}  // namespace hatchery
