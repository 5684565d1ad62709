#include "trainers/output.h"

#include <cerrno>
#include <iostream>
#include <system_error>

#include "trainers/errors.h"

namespace adatape {

void print(std::string_view text) {
  errno = 0;
  if (std::cout << text << std::flush) return;
  const std::string reason =
      errno != 0 ? std::system_category().message(errno) : "it takes no more";
  throw RunError(kUnexpected, "cannot write the result to standard output: " + reason +
                                  "; send it where there is room and run again");
}

}  // namespace adatape
