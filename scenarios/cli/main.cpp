// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

// libsystemc refers to sc_main; the program has its own main and starts the kernel itself.
extern "C" int sc_main(int, char**);
extern "C" int sc_main(int, char**) { return 0; }

int main() {
  fmt::print("lightcone\n");
  return 0;
}
