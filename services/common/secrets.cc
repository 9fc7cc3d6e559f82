// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/secrets.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <sstream>

#include "services/common/disk.h"

namespace hatchery {
namespace {

constexpr size_t kShortestToken = 16, kLongestToken = 256;

template <auto free>
struct Free {
  template <typename T>
  void operator()(T* pointer) const {
    free(pointer);
  }
};
using Bio = std::unique_ptr<BIO, Free<BIO_free>>;
using Certificate = std::unique_ptr<X509, Free<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;

// A key with a passphrase is refused instead of asked for: servers start unattended.
int NoPassphrase(char*, int, int, void*) { return -1; }

Bio Reader(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

Certificate FirstCertificate(const std::string& pem) {
  Certificate certificate(PEM_read_bio_X509(Reader(pem).get(), nullptr, NoPassphrase, nullptr));
  ERR_clear_error();
  return certificate;
}

StatusOr<std::string> ReadSecret(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) == 0 && (info.st_mode & S_IRWXO) != 0)
    return FailedPrecondition(path + " can be read or changed by everyone on this machine; chmod " +
                              "o= " + path);
  return ReadWholeFile(PosixDisk(), path);
}

bool IsToken(const std::string& text) {
  return text.size() >= kShortestToken && text.size() <= kLongestToken &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7F; });
}

std::string Trimmed(const std::string& line) {
  const size_t begin = line.find_first_not_of(" \t\r");
  if (begin == std::string::npos) return "";
  return line.substr(begin, line.find_last_not_of(" \t\r") - begin + 1);
}

}  // namespace

StatusOr<std::string> ReadCertificates(const std::string& path) {
  HATCHERY_ASSIGN_OR_RETURN(std::string pem, ReadWholeFile(PosixDisk(), path));
  if (FirstCertificate(pem) == nullptr)
    return InvalidArgument(path + " holds no certificate in PEM; scripts/dev-certs makes some");
  return pem;
}

StatusOr<KeyPair> ReadKeyPair(const std::string& certificate_path, const std::string& key_path) {
  KeyPair pair;
  HATCHERY_ASSIGN_OR_RETURN(pair.certificates, ReadCertificates(certificate_path));
  HATCHERY_ASSIGN_OR_RETURN(pair.key, ReadSecret(key_path));
  const Key key(PEM_read_bio_PrivateKey(Reader(pair.key).get(), nullptr, NoPassphrase, nullptr));
  const bool matches =
      key && X509_check_private_key(FirstCertificate(pair.certificates).get(), key.get()) == 1;
  ERR_clear_error();
  if (key == nullptr)
    return InvalidArgument(key_path + " holds no private key in PEM without a passphrase");
  if (!matches)
    return InvalidArgument(key_path + " is not the private key of the certificate in " +
                           certificate_path);
  return pair;
}

StatusOr<std::vector<std::string>> ReadTokens(const std::string& path) {
  HATCHERY_ASSIGN_OR_RETURN(const std::string text, ReadSecret(path));
  std::vector<std::string> tokens;
  std::istringstream lines(text);
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    const std::string token = Trimmed(line);
    if (token.empty() || token.front() == '#') continue;
    if (!IsToken(token))
      return InvalidArgument(path + ":" + std::to_string(number) +
                             ": a token has 16 to 256 printable characters and no spaces; make "
                             "one with: openssl rand -hex 32");
    tokens.push_back(token);
  }
  if (tokens.empty())
    return InvalidArgument(path + " holds no token; make one with: openssl rand -hex 32");
  return tokens;
}

bool EqualInConstantTime(const Sha256Hash& a, const Sha256Hash& b) {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace hatchery
