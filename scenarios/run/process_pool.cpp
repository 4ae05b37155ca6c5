// SPDX-License-Identifier: Apache-2.0
#include "scenarios/run/process_pool.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <list>
#include <thread>
#include <utility>
#include <vector>

namespace lightcone::scenarios {
namespace {

using Clock = std::chrono::steady_clock;

// Signal handlers can reach nothing but globals.
volatile std::sig_atomic_t g_interrupted = 0;
int g_guards = 0;
struct sigaction g_old_interrupt, g_old_terminate;

void on_signal(int) { g_interrupted = 1; }

struct Child {
  std::size_t job = 0;
  pid_t pid = 0;
  int pipe = -1;
  std::string received;
  Clock::time_point started;
};

// The answer in the pipe: one byte (ok or not), then the payload or the error's text, then 'E' so that a child that
// dies while writing is told from one that finished.
constexpr char kOk = '+', kFailed = '-', kEnd = 'E';

bool write_all(int descriptor, const std::string& bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = write(descriptor, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno != EINTR) return false;
    if (n > 0) done += static_cast<std::size_t>(n);
  }
  return true;
}

// The child's whole life. It leaves by _exit: nothing of the parent's (buffers, databases) is flushed or closed twice.
[[noreturn]] void child_main(const ProcessPool::Work& work, std::size_t job, int descriptor, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);  // it died before the call above
  std::signal(SIGINT, SIG_IGN);       // Ctrl-C reaches the whole group; the parent decides
  for (const int fatal : {SIGTERM, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) std::signal(fatal, SIG_DFL);
  // Results leave through the pipe; whatever a library prints must not end up among the program's.
  const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (nowhere >= 0) dup2(nowhere, STDOUT_FILENO);
  std::string answer(1, kOk);
  try {
    answer += work(job);
  } catch (const std::exception& error) {
    answer = kFailed + std::string(error.what());
  } catch (...) {
    answer = kFailed + std::string("unknown exception");
  }
  answer += kEnd;
  const bool sent = write_all(descriptor, answer);
  std::fflush(stderr);
  _exit(sent ? 0 : 1);
}

Child start(const ProcessPool::Work& work, std::size_t job, const std::list<Child>& others) {
  int ends[2];
  if (pipe(ends) != 0) throw RunError(fmt::format("cannot create a pipe: {}", std::strerror(errno)));
  std::fflush(nullptr);  // else the child inherits unwritten output
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) {
    const int error = errno;
    close(ends[0]);
    close(ends[1]);
    throw RunError(fmt::format("cannot start a process: {}", std::strerror(error)));
  }
  if (pid == 0) {
    close(ends[0]);
    for (const Child& other : others) close(other.pipe);
    child_main(work, job, ends[1], parent);
  }
  close(ends[1]);
  Child child;
  child.job = job;
  child.pid = pid;
  child.pipe = ends[0];
  child.started = Clock::now();
  return child;
}

int reap(const Child& child) {
  int status = 0;
  while (waitpid(child.pid, &status, 0) < 0 && errno == EINTR) {
  }
  close(child.pipe);
  return status;
}

JobOutcome outcome_of(Child& child, int status) {
  std::string& text = child.received;
  if (text.size() >= 2 && text.back() == kEnd && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
    const std::string body = text.substr(1, text.size() - 2);
    if (text.front() == kOk) return {true, body, {}};
    return {false, {}, body};
  }
  if (WIFSIGNALED(status)) {
    const int signal_number = WTERMSIG(status);
    return {false,
            {},
            fmt::format("the simulating process was ended by signal {} ({})", signal_number, strsignal(signal_number))};
  }
  return {false, {}, fmt::format("the simulating process ended with code {} before its answer", WEXITSTATUS(status))};
}

// Reads what has come; true when the child has closed its end.
bool drain(Child& child) {
  char buffer[65536];
  const ssize_t n = read(child.pipe, buffer, sizeof buffer);
  if (n > 0) child.received.append(buffer, static_cast<std::size_t>(n));
  return n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN);
}

void wait_for_news(const std::list<Child>& children, std::vector<pollfd>& polled) {
  polled.clear();
  for (const Child& child : children) polled.push_back({child.pipe, POLLIN, 0});
  poll(polled.data(), polled.size(), 100);  // ms; bounds the reaction to a time-out or a signal
}

void end_all(std::list<Child>& children) {
  for (const Child& child : children) kill(child.pid, SIGKILL);
  for (const Child& child : children) reap(child);
  children.clear();
}

}  // namespace

InterruptGuard::InterruptGuard() {
  if (g_guards++ > 0) return;
  g_interrupted = 0;
  struct sigaction action {};
  action.sa_handler = on_signal;  // without SA_RESTART: a blocking poll returns
  sigaction(SIGINT, &action, &g_old_interrupt);
  sigaction(SIGTERM, &action, &g_old_terminate);
}

InterruptGuard::~InterruptGuard() {
  if (--g_guards > 0) return;
  sigaction(SIGINT, &g_old_interrupt, nullptr);
  sigaction(SIGTERM, &g_old_terminate, nullptr);
}

bool InterruptGuard::requested() { return g_interrupted != 0; }

void InterruptGuard::check() {
  if (requested()) throw Interrupted();
}

ProcessPool::ProcessPool(ProcessPoolOptions options) : options_(options) {
  if (options_.jobs == 0) options_.jobs = std::max(1u, std::thread::hardware_concurrency());
}

void ProcessPool::run(std::size_t count, const Work& work, const Collect& collect) const {
  std::list<Child> children;
  std::vector<pollfd> polled;
  std::size_t next = 0;
  try {
    while (next < count || !children.empty()) {
      InterruptGuard::check();
      while (next < count && children.size() < options_.jobs) {
        children.push_back(start(work, next, children));
        ++next;
      }
      wait_for_news(children, polled);
      std::size_t index = 0;
      for (auto child = children.begin(); child != children.end(); ++index) {
        const bool finished = (polled[index].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && drain(*child);
        const bool late = options_.timeout.count() > 0 && Clock::now() - child->started > options_.timeout;
        if (!finished && !late) {
          ++child;
          continue;
        }
        if (!finished) kill(child->pid, SIGKILL);
        const int status = reap(*child);
        JobOutcome outcome = outcome_of(*child, status);
        if (!finished && !outcome.ok) {
          outcome.error = fmt::format("no answer within the time limit of {:.1f} s",
                                      std::chrono::duration<double>(options_.timeout).count());
        }
        const std::size_t job = child->job;
        child = children.erase(child);
        collect(job, std::move(outcome));
      }
    }
  } catch (...) {
    end_all(children);
    throw;
  }
}

}  // namespace lightcone::scenarios
