// The other reader and writer of our files is h5py: what we write it reads, what it writes we read.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "gridmill/base/dtype.hpp"
#include "gridmill/base/error.hpp"
#include "gridmill/h5/file.hpp"
#include "support/temporary_folder.hpp"
#include "unit/h5/python.hpp"

namespace gridmill::h5 {
namespace {

using test::run_python;
using test::TemporaryFolder;

TEST(H5py, ReadsOurFiles) {
  GRIDMILL_NEEDS_H5PY();
  const TemporaryFolder folder;
  const std::string path = folder.file("a.h5");
  const std::vector<std::uint16_t> bf16 = {fp32_to_bf16(1.5F), fp32_to_bf16(-2.0F)};
  File created = File::create(path);
  created.write_text_attribute("/", "format", "gridmill \u00e4");
  created.write_integer_attribute("/", "format_version", 1);
  created.create_dataset("/bf16", ElementType::of(Kind::bf16), {2})
      .write_rows(0, 2, std::as_bytes(std::span(bf16)));
  static_cast<void>(created.create_dataset("/rows", ElementType::of(Kind::row_record), {3}));
  static_cast<void>(created.create_dataset("/failure", ElementType::fixed_text(256), {3}));
  created.write_text("/text", "bytes");
  created.close();
  const test::PythonResult result = run_python(R"(
import h5py, numpy, sys
with h5py.File(sys.argv[1]) as f:
    assert f.attrs["format"] == "gridmill \u00e4", f.attrs["format"]
    assert f.attrs["format_version"] == 1
    assert f["bf16"].dtype == numpy.float32, f["bf16"].dtype
    assert f["bf16"][:].tolist() == [1.5, -2.0]
    assert f["rows"].dtype.names == ("status", "finish_reason", "prompt_index", "sample_index",
        "prefix_length", "length", "reserved", "payload_crc", "row_crc"), f["rows"].dtype
    assert f["rows"].dtype.itemsize == 32
    assert f["failure"][0] == b"" and f["failure"].dtype.itemsize == 256
    assert f["text"][:].tobytes() == b"bytes"
print("read")
)",
                                               path);
  EXPECT_EQ(result.exit_code, 0) << result.output;
  EXPECT_EQ(result.output, "read\n");
}

TEST(H5py, WritesFilesThatWeRead) {
  GRIDMILL_NEEDS_H5PY();
  const TemporaryFolder folder;
  const std::string path = folder.file("a.h5");
  const test::PythonResult result = run_python(R"(
import h5py, numpy, sys
with h5py.File(sys.argv[1], "w") as f:
    f["mask"] = numpy.array([[True, True, False], [False, True, True]])
    f["words"] = ["eins", "", "drei \u20ac"]
    f["word"] = "one"
    f["big_endian"] = numpy.array([1, -2, 3], dtype=">i4")
    f.create_dataset("chunked", data=numpy.arange(1000, dtype="i8").reshape(100, 10), chunks=(7, 3), compression="gzip")
    f["compound"] = numpy.zeros(2, dtype=[("a", "i4")])
    f["soft"] = h5py.SoftLink("/words")
    f["dangling"] = h5py.SoftLink("/nothing")
    f["floats"] = numpy.array([1.5, 2.5], dtype="f8")
    f.attrs["fixed"] = numpy.bytes_("fixed")
    f.attrs["flag"] = True
    f.attrs["small"] = numpy.int16(-5)
    f.attrs["list"] = [1, 2]
)",
                                               path);
  ASSERT_EQ(result.exit_code, 0) << result.output;
  const File file = File::open(path);
  EXPECT_EQ(file.dataset("/mask").type().kind, Kind::boolean);
  EXPECT_EQ(file.dataset("/mask").read_as<std::uint8_t>(),
            (std::vector<std::uint8_t>{1, 1, 0, 0, 1, 1}));
  EXPECT_EQ(file.dataset("/words").read_texts(),
            (std::vector<std::string>{"eins", "", "drei \u20ac"}));
  EXPECT_EQ(file.read_text("/word"), "one");
  EXPECT_THROW(static_cast<void>(file.read_text("/words")), FormatError);
  EXPECT_FALSE(file.dataset("/big_endian").offset().has_value());
  EXPECT_EQ(file.dataset("/big_endian").read_as<std::int32_t>(),
            (std::vector<std::int32_t>{1, -2, 3}));
  EXPECT_FALSE(file.dataset("/chunked").offset().has_value());
  EXPECT_EQ(file.dataset("/chunked").read_rows_as<std::int32_t>(99, 1),
            (std::vector<std::int32_t>{990, 991, 992, 993, 994, 995, 996, 997, 998, 999}));
  EXPECT_EQ(file.dataset("/compound").type().kind, Kind::other);
  EXPECT_EQ(file.dataset("/soft").read_texts().size(), 3U);
  EXPECT_FALSE(file.exists("/dangling"));
  EXPECT_EQ(file.dataset("/floats").read_as<float>(), (std::vector<float>{1.5F, 2.5F}));
  EXPECT_EQ(file.read_text_attribute("/", "fixed"), "fixed");
  EXPECT_EQ(file.read_integer_attribute("/", "flag"), 1);
  EXPECT_EQ(file.read_integer_attribute("/", "small"), -5);
  EXPECT_THROW(static_cast<void>(file.read_integer_attribute("/", "list")), FormatError);
}

}  // namespace
}  // namespace gridmill::h5
