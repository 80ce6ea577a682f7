#include "gridmill/job/model_texts.hpp"

#include <memory>

#include "gridmill/model/model.hpp"

namespace gridmill {

ModelTexts model_texts(const CheckpointFile& checkpoint, const Tokenizer* tokenizer) {
  ModelTexts texts{.name = checkpoint.path(), .files = {}, .bos_token = {}, .eos_token = {}};
  for (const char* name : {"chat_template.jinja", "tokenizer_config.json"}) {
    const auto found = checkpoint.files().find(name);
    if (found != checkpoint.files().end()) texts.files.insert(*found);
  }
  if (tokenizer == nullptr) return texts;
  const std::unique_ptr<Model> built = make_model(checkpoint.model());
  const ModelInfo& model = built->info();
  if (const auto bos = tokenizer->bos()) texts.bos_token = tokenizer->token_bytes(*bos);
  if (!model.eod_ids.empty() && model.eod_ids.front() < tokenizer->vocab_size()) {
    texts.eos_token = tokenizer->token_bytes(model.eod_ids.front());
  }
  return texts;
}

}  // namespace gridmill
