// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/common/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <charconv>
#include <string>

namespace hatchery {

Status CheckAddress(std::string_view address, std::string_view option) {
  const size_t colon = address.rfind(':');
  if (colon != std::string_view::npos && colon != 0) {
    const std::string_view host = address.substr(0, colon), port = address.substr(colon + 1);
    const bool bare_ipv6 = host.find(':') != std::string_view::npos && host.back() != ']';
    uint16_t number = 0;
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
    if (!bare_ipv6 && error == std::errc() && end == port.data() + port.size()) return {};
  }
  return InvalidArgument(std::string(option) + " '" + std::string(address) +
                         "' is not HOST:PORT with a port up to 65535, as in 127.0.0.1:7070");
}

bool IsLoopback(std::string_view address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string_view::npos) return false;
  std::string host(address.substr(0, colon));
  if (host == "localhost") return true;
  in_addr v4{};
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
  if (host.size() < 2 || host.front() != '[' || host.back() != ']') return false;
  in6_addr v6{};
  if (inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &v6) != 1) return false;
  return IN6_IS_ADDR_LOOPBACK(&v6);
}

}  // namespace hatchery
