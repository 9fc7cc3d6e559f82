// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Files that hold what lets someone in: certificates, their keys, tokens. All are read once, when a
// program starts. Errors name the file and the remedy, never what is in it.
#pragma once

#include <string>
#include <vector>

#include "kernels/status.h"
#include "services/common/sha256.h"

namespace hatchery {

struct KeyPair {
  std::string certificates, key;  // PEM
};

// One or more certificates in PEM.
StatusOr<std::string> ReadCertificates(const std::string& path);
// A certificate (with its chain, if any) and the private key that belongs to its first one. The key
// must not be readable by everyone.
StatusOr<KeyPair> ReadKeyPair(const std::string& certificate_path, const std::string& key_path);

// Tokens, one a line; empty lines and lines with # are skipped. A token has 16 to 256 printable
// ASCII characters and no space. The file must not be readable by everyone; at least one token.
StatusOr<std::vector<std::string>> ReadTokens(const std::string& path);

// Whether two hashes are equal, in a time that says nothing about where they differ.
bool EqualInConstantTime(const Sha256Hash& a, const Sha256Hash& b);

}  // namespace hatchery
