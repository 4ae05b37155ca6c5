// SPDX-License-Identifier: Apache-2.0
// libsystemc.so refers to sc_main; programs with their own main() must still define it.
extern "C" int sc_main(int, char**);
extern "C" int sc_main(int, char**) { return 0; }
