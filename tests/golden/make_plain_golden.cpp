// Writes the files of tests/data/golden/plain; tests/data/golden/plain/make.sh builds and runs it.
#include <fstream>
#include <iostream>

#include "golden/plain_from_hf.hpp"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: make_plain_golden FOLDER\n";
    return 64;
  }
  for (const gridmill::test::PlainCase& one : gridmill::test::plain_cases()) {
    const std::string path = std::string(argv[1]) + "/" + one.name + ".bin";
    std::ofstream file(path, std::ios::binary);
    file << gridmill::test::to_plain(gridmill::test::plain_from_hf(one));
    if (!file.flush()) {
      std::cerr << "cannot write " << path << "\n";
      return 74;
    }
  }
}
