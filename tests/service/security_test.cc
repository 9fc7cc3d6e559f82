// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
//
// Who gets in: TLS, mutual TLS, tokens, and addresses that other machines reach.
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <thread>

#include "tests/service/cluster.h"

namespace hatchery::test {
namespace {

class Security : public Cluster {
 protected:
  void SetUp() override {
    Cluster::SetUp();
    const std::string command =
        std::string(HATCHERY_SOURCE) + "/scripts/dev-certs " + Path("certs") + " >/dev/null";
    ASSERT_EQ(std::system(command.c_str()), 0);
  }
  std::string Cert(const std::string& name) const { return Path("certs/" + name); }

  void ExpectRefusal(const Finished& run, const std::string& what) {
    EXPECT_GT(run.code, 0) << run.out;
    EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
    EXPECT_NE(run.err.find(what), std::string::npos) << run.err;
  }
  // A coordinator that must not start.
  Finished Coordinator(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"hatchery-coordinator", "--data-dir", Path("refused")});
    return RunProgram(arguments, Path("refused-" + std::to_string(++runs_)));
  }
  // Waits for a coordinator that does not answer just anyone.
  Process StartClosed(std::vector<std::string> more) {
    more.insert(more.begin(),
                {"hatchery-coordinator", "--listen", Address(), "--data-dir", Path("data")});
    Process process(more, Path("closed"));
    Await("the coordinator to listen", [&] {
      return !process.Running() || process.Err().find("listening") != std::string::npos;
    });
    return process;
  }
  Finished Jobs(std::vector<std::string> more) {
    more.insert(more.begin(), {"jobs", "--coordinator", Address()});
    return Client(more);
  }
  Finished Worker(std::vector<std::string> more) {
    more.insert(more.begin(), {"hatchery-worker", "--coordinator", Address(), "--backend", "cpu",
                               "--threads", "1", "--cache-dir", Path("cache")});
    return RunProgram(more, Path("worker-" + std::to_string(++runs_)));
  }
};

TEST_F(Security, OtherMachinesOnlyOverTls) {
  const std::string port = std::to_string(FreePort());
  for (const char* host : {"0.0.0.0:", "[::]:", "10.1.2.3:", "example.org:"})
    ExpectRefusal(Coordinator({"--listen", host + port}), "--tls-cert");
  ExpectRefusal(Coordinator({"--listen", ":" + port}), "HOST:PORT");
  ExpectRefusal(Coordinator({"--listen", "0.0.0.0:" + port, "--insecure", "--worker-tokens",
                             Cert("worker.token"), "--client-tokens", Cert("client.token")}),
                "in the clear");
  // --insecure is taken at its word.
  Process open({"hatchery-coordinator", "--listen", "0.0.0.0:" + port, "--data-dir", Path("open"),
                "--insecure"},
               Path("open-coordinator"));
  Await("the coordinator to answer", [&] {
    return Client({"jobs", "--coordinator", "127.0.0.1:" + port}).code == 0;
  });
}

TEST_F(Security, BadCertificatesAndTokens) {
  ExpectRefusal(Coordinator({"--tls-cert", Cert("coordinator.pem")}), "--tls-key");
  ExpectRefusal(
      Coordinator({"--tls-cert", Cert("coordinator.pem"), "--tls-key", Cert("client.key")}),
      "is not the private key");
  ExpectRefusal(Coordinator({"--tls-cert", Path("data.bin"), "--tls-key", Cert("client.key")}),
                "no certificate");
  ExpectRefusal(Coordinator({"--worker-tokens", Cert("worker.token")}), "--client-tokens");
  const auto tokens = [&](const std::string& file) {
    return Coordinator({"--worker-tokens", file, "--client-tokens", Cert("client.token")});
  };
  ExpectRefusal(tokens(Path("missing")), "missing");
  WriteFile("open.token", "0123456789abcdef0123456789abcdef\n");
  chmod(Path("open.token").c_str(), 0644);
  ExpectRefusal(tokens(Path("open.token")), "chmod");
  WriteFile("short.token", "# mine\n\nshort\n");
  chmod(Path("short.token").c_str(), 0600);
  ExpectRefusal(tokens(Path("short.token")), "short.token:3");
  ExpectRefusal(tokens(Cert("client.token")), "is in both");
}

TEST_F(Security, TokensOpenOneServiceEach) {
  Process coordinator = StartClosed(
      {"--worker-tokens", Cert("worker.token"), "--client-tokens", Cert("client.token")});
  ExpectRefusal(Jobs({}), "wants a token");
  ExpectRefusal(Jobs({"--token-file", Cert("worker.token")}), "is a worker's");
  WriteFile("unknown.token", "0123456789abcdef0123456789abcdef\n");
  chmod(Path("unknown.token").c_str(), 0600);
  ExpectRefusal(Jobs({"--token-file", Path("unknown.token")}), "does not know the token");
  EXPECT_EQ(Jobs({"--token-file", Cert("client.token")}).code, 0);
  for (const char* file : {"", "client.token"}) {
    const Finished refused =
        Worker(*file == 0 ? std::vector<std::string>{}
                          : std::vector<std::string>{"--token-file", Cert(file)});
    EXPECT_EQ(refused.code, 1);
    EXPECT_NE(refused.err.find("for a worker"), std::string::npos) << refused.err;
  }
  // The sender's own guard.
  ExpectRefusal(
      Client({"jobs", "--coordinator", "192.0.2.1:7070", "--token-file", Cert("client.token")}),
      "in the clear");
}

TEST_F(Security, MutualTlsToTheSameDigest) {
  Process coordinator =
      StartClosed({"--tls-cert", Cert("coordinator.pem"), "--tls-key", Cert("coordinator.key"),
                   "--tls-client-ca", Cert("ca.pem"), "--worker-tokens", Cert("worker.token"),
                   "--client-tokens", Cert("client.token")});
  const std::vector<std::string> client = {
      "--tls-ca",  Cert("ca.pem"),     "--tls-cert",   Cert("client.pem"),
      "--tls-key", Cert("client.key"), "--token-file", Cert("client.token")};
  ExpectRefusal(Jobs({}), "--tls-ca");
  ExpectRefusal(Jobs({"--tls-ca", Cert("ca.pem"), "--token-file", Cert("client.token")}),
                "--tls-cert");
  ExpectRefusal(Jobs({"--tls-ca", Cert("client.pem"), "--tls-cert", Cert("client.pem"), "--tls-key",
                      Cert("client.key")}),
                "not of a CA");
  ExpectRefusal(Jobs({"--tls-ca", Cert("ca.pem"), "--tls-cert", Cert("client.pem"), "--tls-key",
                      Cert("client.key")}),
                "wants a token");
  ASSERT_EQ(Jobs(client).code, 0);

  Process worker(
      {"hatchery-worker", "--coordinator", Address(), "--backend", "cpu", "--threads", "1",
       "--cache-dir", Path("cache"), "--tls-ca", Cert("ca.pem"), "--tls-cert", Cert("worker.pem"),
       "--tls-key", Cert("worker.key"), "--token-file", Cert("worker.token")},
      Path("tls-worker"));
  // The rest as a user with these variables in the environment.
  setenv("HATCHERY_TLS_CA", Cert("ca.pem").c_str(), 1);
  setenv("HATCHERY_TLS_CERT", Cert("client.pem").c_str(), 1);
  setenv("HATCHERY_TLS_KEY", Cert("client.key").c_str(), 1);
  setenv("HATCHERY_TOKEN_FILE", Cert("client.token").c_str(), 1);
  const std::string id = Submit("job.yaml", {"--set", "steps=10"});
  WaitForState(id, "finished");
  const std::string digest = FetchDigest(id);
  for (const char* name :
       {"HATCHERY_TLS_CA", "HATCHERY_TLS_CERT", "HATCHERY_TLS_KEY", "HATCHERY_TOKEN_FILE"})
    unsetenv(name);
  WriteJob("ten.yaml");
  EXPECT_EQ(digest, TrainDigest("ten.yaml", {"--set", "steps=10"}));
}

TEST_F(Security, ClientAndWorkerSayWhatIsWrongWithTheCertificate) {
  const std::string port = std::to_string(FreePort());
  Process coordinator(
      {"hatchery-coordinator", "--listen", "0.0.0.0:" + port, "--data-dir", Path("data"),
       "--tls-cert", Cert("coordinator.pem"), "--tls-key", Cert("coordinator.key")},
      Path("everywhere"));
  const auto expect = [&](const std::string& host, const std::string& ca, const std::string& what) {
    const std::string address = host + ":" + port;
    ExpectRefusal(Client({"jobs", "--coordinator", address, "--tls-ca", ca}), what);
    const Finished run =
        RunProgram({"hatchery-worker", "--coordinator", address, "--tls-ca", ca, "--backend", "cpu",
                    "--cache-dir", Path("cache"), "--retry-seconds", "2"},
                   Path("worker-" + std::to_string(++runs_)));
    EXPECT_EQ(run.code, 1);
    EXPECT_NE(run.err.find(what), std::string::npos) << run.err;
  };
  Await("the coordinator to answer", [&] {
    return Client({"jobs", "--coordinator", "127.0.0.1:" + port, "--tls-ca", Cert("ca.pem")})
               .code == 0;
  });
  expect("127.0.0.2", Cert("ca.pem"), "does not name 127.0.0.2; ");
  expect("127.0.0.1", Cert("client.pem"), "is not of a CA in --tls-ca; ");
}

// A lost coordinator is found again soon, in spite of all that a handshake has to say.
TEST_F(Security, AWatchOverTlsGoesOnAfterARestart) {
  const std::vector<std::string> tls = {"--tls-cert", Cert("coordinator.pem"), "--tls-key",
                                        Cert("coordinator.key")};
  setenv("HATCHERY_TLS_CA", Cert("ca.pem").c_str(), 1);
  std::optional<Process> coordinator(StartClosed(tls));
  Process worker = StartWorker("w1");
  const std::string id = Submit("job.yaml", {"--set", "steps=100000"});
  Process watch({"hatchery", "watch", id, "--coordinator", Address()}, Path("watch"));
  const auto steps = [&] {
    const std::string out = watch.Out();
    return std::count(out.begin(), out.end(), '\n');
  };
  Await("the watch to tell steps", [&] { return steps() > 2; });
  coordinator->Kill();
  Await("the watch to notice", [&] { return watch.Err().ends_with("waiting for it\n"); });
  const auto before = steps();
  std::this_thread::sleep_for(std::chrono::seconds(5));  // several attempts in vain
  coordinator.reset();
  coordinator.emplace(StartClosed(tls));
  Await(
      "the watch to go on", [&] { return steps() > before + 2; }, std::chrono::seconds(20));
  EXPECT_TRUE(watch.Err().ends_with("the coordinator is back\n")) << watch.Err();
  unsetenv("HATCHERY_TLS_CA");
}

}  // namespace
}  // namespace hatchery::test
