#pragma once

#include <optional>
#include <string>

#include "gridmill/convert/convert.hpp"
#include "gridmill/grid/collectives.hpp"
#include "support/temporary_folder.hpp"

namespace gridmill::test {

/// A foreign model that rank 0 has converted for all ranks of a test. Construction and destruction
/// are collective over all ranks.
class ConvertedModel {
 public:
  explicit ConvertedModel(const std::string& source, const std::string& tokenizer = "")
      : world_(Communicator::duplicate(MPI_COMM_WORLD)) {
    agree_on(world_, [&] {
      if (world_.rank() != 0) return;
      folder_.emplace();
      path_ = folder_->file("model.h5");
      static_cast<void>(convert({.source = source, .destination = path_, .tokenizer = tokenizer}));
    });
    broadcast(world_, 0, path_);
  }
  ConvertedModel(const ConvertedModel&) = delete;
  ConvertedModel& operator=(const ConvertedModel&) = delete;
  ~ConvertedModel() { world_.barrier(); }

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  Communicator world_;
  std::optional<TemporaryFolder> folder_;
  std::string path_;
};

}  // namespace gridmill::test
