#include "gridmill/build_info/version.hpp"

namespace gridmill {

std::string version() { return GRIDMILL_VERSION; }
std::string git_hash() { return GRIDMILL_GIT_HASH; }

}  // namespace gridmill
