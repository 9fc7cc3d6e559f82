// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/coordinator/page_server.h"

#include <arpa/inet.h>
#include <httplib.h>
#include <openssl/evp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <semaphore>
#include <thread>
#include <utility>

#include "services/common/address.h"
#include "services/coordinator/limits.h"
#include "services/coordinator/page_feed.h"
#include "services/coordinator/sampler.h"
#include "services/page/assets.h"

namespace hatchery::coordinator {
namespace {

using httplib::Request;
using httplib::Response;

// A stream holds its connection's thread for as long as a browser listens. Were there no more
// threads than streams, open pages would keep all others from being answered.
constexpr uint32_t kStreams = 64;
constexpr uint32_t kConnections = kStreams + 32;
constexpr std::chrono::seconds kIdle{2};      // a kept connection without a request holds a thread
constexpr std::chrono::seconds kStalled{5};   // a peer that does not read or send in mid-message
constexpr std::chrono::seconds kLook{1};      // between two looks whether a silent peer is there
constexpr std::chrono::seconds kSilence{15};  // then a comment: proxies cut what says nothing
constexpr size_t kRequestsPerConnection = 100;
constexpr size_t kMostBodyBytes = 1024;  // nothing here takes a body
constexpr int kUnreadBytes = 64 << 10;   // that the system takes for a peer that does not read

constexpr char kPolicy[] =
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

// A pool that takes no more connections than it has threads: the others wait in the system's
// backlog, where they cost no file.
class BoundedPool : public httplib::TaskQueue {
 public:
  explicit BoundedPool(uint32_t size) : places_(size), threads_(size) {}
  void enqueue(std::function<void()> task) override {
    places_.acquire();
    threads_.enqueue([this, task = std::move(task)] {
      task();
      places_.release();
    });
  }
  void shutdown() override { threads_.shutdown(); }

 private:
  std::counting_semaphore<> places_;
  httplib::ThreadPool threads_;
};

std::string HostOf(std::string_view authority) {
  const size_t bracket = authority.rfind(']'), colon = authority.rfind(':');
  const bool has_port =
      colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket);
  std::string host(authority.substr(0, has_port ? colon : authority.size()));
  std::transform(host.begin(), host.end(), host.begin(), [](unsigned char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : static_cast<char>(c);
  });
  return host;
}

// "10.0.0.7" or "[::1]".
bool IsNumber(const std::string& host) {
  in_addr v4{};
  in6_addr v6{};
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return true;
  return host.size() > 2 && host.front() == '[' && host.back() == ']' &&
         inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &v6) == 1;
}

// The password of "Basic base64(name:password)"; empty if it is none.
std::string PasswordOf(const std::string& authorization) {
  constexpr std::string_view kScheme = "Basic ";
  constexpr size_t kLongest = 1024;
  if (!authorization.starts_with(kScheme) || authorization.size() > kLongest) return "";
  const std::string code = authorization.substr(kScheme.size());
  std::string pair(code.size(), '\0');
  const int decoded = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(pair.data()),
                                      reinterpret_cast<const unsigned char*>(code.data()),
                                      static_cast<int>(code.size()));
  const size_t colon = pair.find(':');
  if (decoded < 0 || colon == std::string::npos) return "";
  pair.resize(static_cast<size_t>(decoded));
  while (!pair.empty() && pair.back() == '\0') pair.pop_back();  // what stood for padding
  return pair.substr(std::min(colon + 1, pair.size()));
}

void Refuse(Response& response, int status, const std::string& why) {
  response.status = status;
  response.set_content(why + "\n", "text/plain; charset=utf-8");
}

void Answer(Response& response, StatusOr<std::string> json) {
  if (!json.ok()) return Refuse(response, 404, json.status().message());
  response.set_content(std::move(*json), "application/json");
}

// The parameter `name`, or `otherwise` if it was not given; nothing if it is no step.
std::optional<uint32_t> StepOf(const Request& request, const char* name, uint32_t otherwise) {
  if (!request.has_param(name)) return otherwise;
  const std::string text = request.get_param_value(name);
  uint32_t step = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), step);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return step;
}

// A browser that listens, and the place that it takes.
class Stream {
 public:
  Stream(Slots::Slot slot, PageFeed& feed) : slot_(std::move(slot)), listener_(feed) {}

  // Sends what there is, or after a while looks whether the browser is still there; false: it is
  // not.
  bool Continue(httplib::DataSink& sink) {
    PageFeed::Message message;
    switch (listener_.Next(kLook, message)) {
      case PageFeed::Listener::Outcome::kMessage:
        return Write(sink, "data: " + *message + "\n\n");
      case PageFeed::Listener::Outcome::kNothingYet:
        silence_ += kLook;
        return silence_ < kSilence ? sink.is_writable() : Write(sink, ":\n\n");
      default:
        return false;
    }
  }

 private:
  bool Write(httplib::DataSink& sink, const std::string& text) {
    silence_ = {};
    return sink.write(text.data(), text.size());
  }

  Slots::Slot slot_;
  PageFeed::Listener listener_;
  std::chrono::seconds silence_{};
};

class Server : public PageServer {
 public:
  Server(const PageOptions& options, std::optional<Tokens> tokens, Engine& engine)
      : names_(options.names),
        tokens_(std::move(tokens)),
        engine_(engine),
        sampler_(engine.store()),
        feed_(engine, sampler_) {
    for (std::string& name : names_) name = HostOf(name);
    names_.push_back("localhost");
    names_.push_back(HostOf(options.address));
    Bound();
    Route();
  }
  ~Server() override {
    engine_.OnCheckpoint({});
    feed_.Stop();
    http_.stop();
    if (thread_.joinable()) thread_.join();
  }

  Status Listen(const std::string& address) {
    const size_t colon = address.rfind(':');
    std::string host = address.substr(0, colon);
    if (host.front() == '[') host = host.substr(1, host.size() - 2);
    int port = 0;
    std::from_chars(address.data() + colon + 1, address.data() + address.size(), port);
    if (port == 0)
      port = http_.bind_to_any_port(host);
    else if (!http_.bind_to_port(host, port))
      port = -1;
    if (port <= 0)
      return Unavailable("cannot show the page on " + address +
                         ": the port is in use or the address is not this machine's; choose "
                         "another with --http HOST:PORT");
    address_ = address.substr(0, colon + 1) + std::to_string(port);
    thread_ = std::thread([this] { http_.listen_after_bind(); });
    while (!http_.is_running()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    engine_.OnCheckpoint([this](const std::string& job) { sampler_.Look(job); });
    if (const auto ids = engine_.store().JobIds(); ids.ok())
      for (size_t i = ids->size() - std::min(ids->size(), Sampler::kJobsKept); i < ids->size(); ++i)
        sampler_.Look((*ids)[i]);
    return {};
  }
  const std::string& address() const override { return address_; }

 private:
  void Bound() {
    http_.new_task_queue = [] { return new BoundedPool(kConnections); };
    http_.set_keep_alive_timeout(kIdle.count());
    http_.set_keep_alive_max_count(kRequestsPerConnection);
    http_.set_read_timeout(kStalled);
    http_.set_write_timeout(kStalled);
    http_.set_payload_max_length(kMostBodyBytes);
    http_.set_tcp_nodelay(true);
    // The library's own choice would let a second coordinator share the port. Connections inherit
    // the buffer; by itself it would grow to megabytes, and a peer be found out minutes later.
    http_.set_socket_options([](socket_t socket) {
      const int on = 1;
      setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
      setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &kUnreadBytes, sizeof kUnreadBytes);
    });
  }

  void Route() {
    http_.set_default_headers({{"Content-Security-Policy", kPolicy},
                               {"X-Content-Type-Options", "nosniff"},
                               {"Referrer-Policy", "no-referrer"},
                               {"Cross-Origin-Resource-Policy", "same-origin"},
                               {"Cache-Control", "no-store"}});
    http_.set_pre_routing_handler([this](const Request& request, Response& response) {
      return LetIn(request, response) ? httplib::Server::HandlerResponse::Unhandled
                                      : httplib::Server::HandlerResponse::Handled;
    });
    http_.set_error_handler([](const Request& request, Response& response) {
      if (response.body.empty())
        Refuse(response, response.status, "there is no " + request.path.substr(0, 200) + " here");
    });
    for (const PageAsset& asset : PageAssets())
      http_.Get(std::string(asset.path), [asset](const Request&, Response& response) {
        response.set_content(asset.bytes.data(), asset.bytes.size(), std::string(asset.type));
      });
    http_.Get("/api/feed", [this](const Request&, Response& response) { Feed(response); });
    http_.Get("/api/jobs/([0-9]{1,20})", [this](const Request& request, Response& response) {
      Answer(response, feed_.Details(request.matches[1]));
    });
    http_.Get("/api/jobs/([0-9]{1,20})/curve", [this](const Request& request, Response& response) {
      const auto from = StepOf(request, "from", 0), to = StepOf(request, "to", UINT32_MAX);
      if (!from || !to) return Refuse(response, 400, "from and to are steps, 0 to 4294967295");
      Answer(response, feed_.CurveJson(request.matches[1], *from, *to));
    });
  }

  // A page of elsewhere can make a browser call us under a name of its own; it must not read the
  // answer. A number cannot be such a name.
  bool KnownHost(const Request& request) const {
    const std::string host = HostOf(request.get_header_value("Host"));
    return IsNumber(host) || std::find(names_.begin(), names_.end(), host) != names_.end();
  }

  bool LetIn(const Request& request, Response& response) const {
    if (!KnownHost(request)) {
      Refuse(response, 403,
             "this page is not known by that name; call it by its address, or start the "
             "coordinator with --http-name NAME");
      return false;
    }
    if (request.method != "GET" && request.method != "HEAD") {
      Refuse(response, 405, "this page can only be read");
      return false;
    }
    if (!tokens_) return true;
    const std::string token = PasswordOf(request.get_header_value("Authorization"));
    if (tokens_->Check("/hatchery.v1.ClientService/", "Bearer " + token).ok()) return true;
    response.set_header("WWW-Authenticate",
                        "Basic realm=\"Hatchery: any name, and a client's token as the password\"");
    Refuse(response, 401, "this page wants a client's token, as the password of any user");
    return false;
  }

  void Feed(Response& response) {
    auto slot = streams_.Take();
    if (!slot.ok()) return Refuse(response, 503, slot.status().message());
    const auto stream = std::make_shared<Stream>(std::move(*slot), feed_);
    response.set_chunked_content_provider(
        "text/event-stream",
        [stream](size_t, httplib::DataSink& sink) { return stream->Continue(sink); });
  }

  std::vector<std::string> names_;
  const std::optional<Tokens> tokens_;
  Engine& engine_;
  Sampler sampler_;
  PageFeed feed_;
  Slots streams_{kStreams, "open pages", ""};
  httplib::Server http_;
  std::string address_;
  std::thread thread_;
};

Status CheckOptions(const PageOptions& options, bool tokens) {
  HATCHERY_RETURN_IF_ERROR(CheckAddress(options.address, "--http"));
  if (PageAssets().empty())
    return FailedPrecondition(
        "--http: this coordinator was built without its page, for want of npm; run scripts/setup "
        "and scripts/build, and look at what they say");
  if (IsLoopback(options.address)) return {};
  if (options.insecure) return {};
  return FailedPrecondition(
      "other machines reach " + options.address +
      (tokens ? ", and clients' tokens would travel to the page in the clear"
              : ", and anyone there could read the page") +
      "; give --http 127.0.0.1" + options.address.substr(options.address.rfind(':')) +
      " and reach it through ssh -L or a proxy that encrypts, or accept it with --http-insecure");
}

}  // namespace

void AddPageOptions(CLI::App& app, PageOptions& options) {
  app.add_option("--http", options.address,
                 "show a page for browsers on HOST:PORT, as in 127.0.0.1:7080");
  app.add_option("--http-name", options.names,
                 "a name by which browsers may call the page, besides its address; may be repeated")
      ->expected(1);
  app.add_flag(
      "--http-insecure", options.insecure,
      "let other machines reach the page: over plain HTTP, so that who is on the way reads it, "
      "and a client's token with it if clients need one");
}

StatusOr<std::unique_ptr<PageServer>> PageServer::Start(const PageOptions& options,
                                                        std::optional<Tokens> tokens,
                                                        Engine& engine) {
  if (options.address.empty()) return std::unique_ptr<PageServer>();
  HATCHERY_RETURN_IF_ERROR(CheckOptions(options, tokens.has_value()));
  auto server = std::make_unique<Server>(options, std::move(tokens), engine);
  HATCHERY_RETURN_IF_ERROR(server->Listen(options.address));
  return std::unique_ptr<PageServer>(std::move(server));
}

}  // namespace hatchery::coordinator
