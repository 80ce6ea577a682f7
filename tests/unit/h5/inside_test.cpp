// Ways out of an HDF5 file, and files that other writers make.

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/base/file.hpp"
#include "gridmill/h5/file.hpp"
#include "support/temporary_folder.hpp"
#include "unit/h5/python.hpp"

namespace gridmill::h5 {
namespace {

using test::run_python;
using test::TemporaryFolder;

/// Writes a.h5 with a script that is given the file name.
class H5Inside : public ::testing::Test {
 protected:
  void write(const std::string& script) {
    const test::PythonResult result = run_python(
        "import h5py, numpy, sys, os\nos.chdir(os.path.dirname(sys.argv[1]))\n" + script, path_);
    ASSERT_EQ(result.exit_code, 0) << result.output;
  }
  /// Message of the FormatError that `act` ends with; "" if it ends without.
  static std::string refusal(const std::function<void()>& act) {
    try {
      act();
    } catch (const FormatError& error) {
      return error.what();
    }
    return "";
  }
  [[nodiscard]] std::string refusal_of_dataset(const std::string& object) const {
    return refusal([&] { static_cast<void>(File::open(path_).dataset(object)); });
  }

  TemporaryFolder folder_;
  std::string path_ = folder_.file("a.h5");
};

void expect_has(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    EXPECT_NE(text.find(part), std::string::npos) << "no '" << part << "' in: " << text;
  }
}

TEST_F(H5Inside, AnExternalLinkIsNamedAndNotFollowed) {
  GRIDMILL_NEEDS_H5PY();
  write(R"(
with h5py.File("b.h5", "w") as f: f["there/t"] = numpy.arange(4)
with h5py.File("a.h5", "w") as f:
    f["direct"] = h5py.ExternalLink("b.h5", "/there/t")
    f["group"] = h5py.ExternalLink("b.h5", "/there")
    f["soft"] = h5py.SoftLink("/group/t")
    f["dangling"] = h5py.ExternalLink("/nowhere/c.h5", "/x")
    f["own"] = numpy.arange(3)
    f["own_soft"] = h5py.SoftLink("/own")
)");
  expect_has(refusal_of_dataset("/direct"), {"a.h5:/direct", "external link", "b.h5:/there/t"});
  expect_has(refusal_of_dataset("/group/t"), {"a.h5:/group/t", "external link", "b.h5:/there"});
  expect_has(refusal_of_dataset("/soft"), {"a.h5:/soft", "external link", "b.h5:/there"});
  expect_has(refusal_of_dataset("/dangling"), {"external link", "/nowhere/c.h5:/x"});
  expect_has(refusal([&] { static_cast<void>(File::open(path_).links()); }), {"external link"});
  expect_has(
      refusal([&] { static_cast<void>(File::open(path_).has_attribute("/group", "format")); }),
      {"external link"});
  EXPECT_EQ(File::open(path_).dataset("/own_soft").read_as<std::int64_t>(),
            (std::vector<std::int64_t>{0, 1, 2}));
}

TEST_F(H5Inside, ExternalRawStorageIsNamedAndNotRead) {
  GRIDMILL_NEEDS_H5PY();
  write(R"(
open("raw.bin", "wb").write(bytes(64))
with h5py.File("a.h5", "w") as f:
    f.create_dataset("t", (4, 4), "i4", external=[("raw.bin", 0, h5py.h5f.UNLIMITED)])
)");
  expect_has(refusal_of_dataset("/t"), {"a.h5:/t", "outside", "raw.bin"});
}

TEST_F(H5Inside, VirtualDatasetsAreNamedWithOrWithoutTheirSources) {
  GRIDMILL_NEEDS_H5PY();
  write(R"(
with h5py.File("b.h5", "w") as f: f["t"] = numpy.arange(8, dtype="i4").reshape(2, 4)
for name, source in (("v", "b.h5"), ("missing", "none.h5"), ("itself", ".")):
    layout = h5py.VirtualLayout((2, 4), numpy.int32)
    layout[:] = h5py.VirtualSource(source, "t", shape=(2, 4))
    with h5py.File("a.h5", "a") as f: f.create_virtual_dataset(name, layout)
)");
  expect_has(refusal_of_dataset("/v"), {"a.h5:/v", "virtual", "b.h5"});
  expect_has(refusal_of_dataset("/missing"), {"a.h5:/missing", "virtual", "none.h5"});
  expect_has(refusal_of_dataset("/itself"), {"a.h5:/itself", "virtual"});
}

TEST_F(H5Inside, TheNewestFormatIsRead) {
  GRIDMILL_NEEDS_H5PY();
  write(R"(
with h5py.File("a.h5", "w", libver="latest") as f:
    f["t"] = numpy.arange(6, dtype="i4").reshape(2, 3)
    f.create_dataset("zipped", data=f["t"][:], chunks=(1, 3), compression="gzip", shuffle=True)
)");
  const File file = File::open(path_);
  const std::vector<std::int32_t> expected = {0, 1, 2, 3, 4, 5};
  EXPECT_EQ(file.dataset("/t").read_as<std::int32_t>(), expected);
  EXPECT_EQ(file.dataset("/zipped").read_as<std::int32_t>(), expected);
}

TEST_F(H5Inside, AFilterThatIsNotThereIsNamed) {
  GRIDMILL_NEEDS_H5PY();
  write(R"(
with h5py.File("a.h5", "w") as f:
    f.create_dataset("t", data=numpy.arange(6).reshape(2, 3), chunks=(1, 3), compression="gzip")
)");
  std::string bytes = read_text_file(path_);
  // A filter of the pipeline message, version 1: number, length of the name, flags, values, name.
  const std::string deflate("\x01\0\x08\0\x01\0\x01\0deflate", 15);
  const std::size_t at = bytes.find(deflate);
  ASSERT_NE(at, std::string::npos);
  bytes[at] = '\x99';
  bytes[at + 1] = '\x7d';
  bytes.replace(at + 8, 7, "squeeze");
  write_file_atomically(path_, bytes);
  expect_has(refusal_of_dataset("/t"), {"a.h5:/t", "'squeeze'", "32153", "HDF5_PLUGIN_PATH"});
}

}  // namespace
}  // namespace gridmill::h5
