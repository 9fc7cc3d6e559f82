// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "services/doctor/checks.h"

namespace hatchery::doctor {

Checks CheckPort(uint16_t port, const std::string& what, const std::function<std::string()>& who) {
  const std::string name = "port " + std::to_string(port);
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  const int reuse = 1;  // as servers do: what lingers of an old connection is no hindrance
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool free = bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
                    listen(fd, 1) == 0;
  const int error = errno;
  close(fd);
  if (free) return {{Verdict::kOk, name, "free, for " + what}};
  if (error != EADDRINUSE)
    return {{Verdict::kWarn, name, std::string("cannot be listened on: ") + std::strerror(error),
             "choose another with --listen HOST:PORT"}};
  const std::string owner = who();
  if (!owner.empty()) return {{Verdict::kOk, name, owner}};
  return {{Verdict::kWarn, name, "taken by a program that does not answer as " + what + " would",
           "if it is one that uses TLS, give --tls-ca; else stop it (ss -ltnp names it), or choose "
           "another with --listen HOST:PORT"}};
}

}  // namespace hatchery::doctor
