#include "job/last_words.hpp"

namespace gridmill::job_detail {

LastWords last_words(ResultStore* store, RunRecord* record) {
  LastWords words;
  if (store != nullptr) words.commit = [store] { store->flush(); };
  if (record != nullptr) {
    words.farewell = [record](const Error& why) {
      if (why.code() == ExitCode::stopped_early) {
        record->finish(why.code());
      } else {
        record->finish_failed(why);
      }
    };
  }
  return words;
}

}  // namespace gridmill::job_detail
