#include "cli/error_line.hpp"

#include <cstddef>

#include "cli/cli_fixture.hpp"

namespace gridmill::test {

testing::AssertionResult fails_with(const ProgramResult& result, int code,
                                    const std::vector<std::string>& words) {
  constexpr const char* kMark = "gridmill: error: ";
  const std::size_t at = result.err.find(kMark);
  const auto failure = [&] {
    return testing::AssertionFailure()
           << "exit code " << result.exit_code << ", expected " << code << "; stderr:\n"
           << result.err;
  };
  if (result.exit_code != code) return failure();
  if (at == std::string::npos) return failure() << "(no error line)";
  if (result.err.find(kMark, at + 1) != std::string::npos) return failure() << "(two error lines)";
  const std::string line = result.err.substr(at, result.err.find('\n', at) - at);
  for (const std::string& word : words) {
    if (line.find(word) == std::string::npos) return failure() << "(without '" << word << "')";
  }
  return testing::AssertionSuccess();
}

void cut_copy(const std::string& from, const std::string& to, double share) {
  const std::string bytes = slurp(cli().file(from));
  cli().folder().write(
      to, bytes.substr(0, static_cast<std::size_t>(share * static_cast<double>(bytes.size()))));
}

}  // namespace gridmill::test
