#include "gridmill/cli/cli.hpp"

int main(int argc, char** argv) { return gridmill::cli::run(argc, argv); }
