#include "gridmill/h5/examination.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include "gridmill/base/error.hpp"
#include "gridmill/h5/file.hpp"
#include "support/temporary_folder.hpp"
#include "unit/h5/python.hpp"

namespace gridmill::h5 {
namespace {

using test::run_python;
using test::TemporaryFolder;

std::string refusal(const std::function<void()>& look) {
  try {
    look();
  } catch (const FormatError& error) {
    return error.what();
  }
  return "";
}

/// One of everything that readers look at, in the oldest format and in the newest.
constexpr const char* kWrite = R"(
import h5py, numpy, sys
for name, version in (("old.h5", "earliest"), ("new.h5", ("earliest", "v108"))):
    with h5py.File(sys.argv[1] + "/" + name, "w", libver=version) as f:
        f.attrs["format"] = "some text"
        f.attrs["version"] = 3
        f["group/inner/plain"] = numpy.arange(12, dtype="f4").reshape(3, 4)
        f.create_dataset("group/packed", data=numpy.arange(4000).reshape(100, 40), chunks=(7, 40), compression="gzip",
            shuffle=True, fletcher32=True)
        f["texts"] = ["one", "two"]
        f["link"] = h5py.SoftLink("/group/packed")
        f["twice"] = f["group/inner"]
)";

class Examination : public testing::Test {
 protected:
  void SetUp() override {
    GRIDMILL_NEEDS_H5PY();
    const test::PythonResult made = run_python(kWrite, folder_.path().string());
    ASSERT_EQ(made.exit_code, 0) << made.output;
  }
  TemporaryFolder folder_;
};

/// What readers do; Errors are fine, a crash ends this test.
void read_everything(const std::string& path) {
  try {
    const File file = File::open(path);
    for (const Link& link : file.links()) {
      if (link.kind != LinkKind::dataset) continue;
      const Dataset dataset = file.dataset(link.path);
      if (dataset.type().kind == Kind::variable_text) {
        static_cast<void>(dataset.read_texts());
      } else {
        static_cast<void>(dataset.read_as<double>());
      }
    }
    static_cast<void>(file.read_text_attribute("/", "format"));
    static_cast<void>(file.read_integer_attribute("/", "version"));
  } catch (const Error&) {
    return;
  }
}

TEST_F(Examination, LetsSoundFilesThrough) {
  for (const char* const name : {"old.h5", "new.h5"}) {
    EXPECT_NO_THROW(examine(folder_.file(name))) << name;
    EXPECT_EQ(File::open(folder_.file(name)).dataset("/group/packed").rows_per_chunk(), 7U);
  }
  EXPECT_THROW(examine(folder_.file("none.h5")), MissingInputError);
  EXPECT_NO_THROW(examine(folder_.write("text.h5", "no HDF5"))) << "the reader says so";
}

/// Bytes of the structures, each replaced by a few values: some of them crash HDF5 1.10.
TEST_F(Examination, KeepsOneChangedByteFromThisProcess) {
  int refused = 0;
  const auto look = [&](const std::string& sound, std::size_t at, char value) {
    std::string changed = sound;
    changed[at] = value;
    const std::string path = folder_.write("changed.h5", changed);
    if (!refusal([&] { examine(path); }).empty()) {
      ++refused;
    } else {
      read_everything(path);
    }
  };
  for (const char* const name : {"old.h5", "new.h5"}) {
    std::ifstream file(folder_.file(name), std::ios::binary);
    const std::string sound((std::istreambuf_iterator<char>(file)), {});
    for (std::size_t at = 8; at < sound.size() && at < 6000; at += 97) {
      look(sound, at, static_cast<char>(at % 3 == 0 ? 0xFF : sound[at] ^ 0x10));
    }
    constexpr std::size_t kCrashes = 1072;  // of old.h5, found by trying every byte
    look(sound, kCrashes, 2);
  }
  if (library_version() == "1.10.8") {
    EXPECT_GT(refused, 0) << "nothing was refused: choose other bytes";
  }
}

TEST_F(Examination, RefusesAFewBytesThatStandForGigabytes) {
  const test::PythonResult made = run_python(R"(
import h5py, sys
with h5py.File(sys.argv[1] + "/large.h5", "w") as f:
    f.create_dataset("chunk", shape=(1, 1 << 29), dtype="i4", chunks=(1, 1 << 29), compression="gzip")
    f.create_dataset("row", shape=(4, 1 << 29), dtype="i4", chunks=(1, 1024), compression="gzip")
    f.create_dataset("unwritten", shape=(4, 1 << 29), dtype="i1")
    f.create_dataset("texts", shape=(1 << 40,), dtype=h5py.string_dtype(), chunks=(1024,))
)",
                                             folder_.path().string());
  ASSERT_EQ(made.exit_code, 0) << made.output;
  const File file = File::open(folder_.file("large.h5"));
  EXPECT_NE(refusal([&] { static_cast<void>(file.dataset("/chunk")); }).find("smaller chunks"),
            std::string::npos);
  for (const char* const name : {"/row", "/unwritten"}) {
    const Dataset dataset = file.dataset(name);
    EXPECT_NE(refusal([&] {
                static_cast<void>(dataset.read_rows_as<std::int64_t>(1, 1));
              }).find("more than 256 MiB"),
              std::string::npos)
        << name;
  }
  EXPECT_NE(refusal([&] { static_cast<void>(file.dataset("/texts").read_texts()); }), "");
  EXPECT_NO_THROW(examine(folder_.file("large.h5"))) << "reading it takes nothing";
}

TEST_F(Examination, RefusesElementsBehindTheEndOfTheFileBeforeItTakesMemoryForThem) {
  File file = File::create(folder_.file("long.h5"));
  static_cast<void>(file.create_dataset("/tokens", ElementType::of(Kind::i32), {1, 1U << 30}));
  file.close();
  ASSERT_EQ(::truncate(folder_.file("long.h5").c_str(), 8192), 0);
  const std::string cut = refusal([&] {
    const File opened = File::open(folder_.file("long.h5"));
    static_cast<void>(opened.dataset("/tokens").read_rows_as<std::int64_t>(0, 1));
  });
  EXPECT_NE(cut.find("cut short"), std::string::npos) << cut;
}

TEST_F(Examination, RefusesLinkNamesInAnotherEncoding) {
  const test::PythonResult made = run_python(R"(
import h5py, sys
with h5py.File(sys.argv[1] + "/latin.h5", "w") as f:
    f.create_group(b"stra\xdfe")
)",
                                             folder_.path().string());
  ASSERT_EQ(made.exit_code, 0) << made.output;
  const std::string message =
      refusal([&] { static_cast<void>(File::open(folder_.file("latin.h5")).links()); });
  EXPECT_NE(message.find("stra\\xdfe"), std::string::npos) << message;
}

}  // namespace
}  // namespace gridmill::h5
