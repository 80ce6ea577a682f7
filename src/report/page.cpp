#include "report/page.hpp"

#include <array>
#include <cstddef>
#include <filesystem>

#include "gridmill/base/format.hpp"
#include "report/markup.hpp"
#include "report/page_assets.hpp"

namespace gridmill::report_detail {

namespace {

/// Nothing is fetched, whatever the texts of the file say.
constexpr const char* kPolicy =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'";

std::string browser_card(const PageInputs& inputs, const OrderedJson& sample) {
  const std::size_t rows = sample.at("rows").size();
  if (rows == 0) {
    return "<section class=\"card wide\" hidden><input id=\"search\"><select "
           "id=\"order\"></select><span id=\"count\"></span><ul id=\"list\"></ul><div "
           "id=\"detail\"></div></section>\n";
  }
  const bool logprobs = inputs.result.layout().shape.logprobs != 0;
  std::string out = fmt::format(
      "<section class=\"card wide\"><h2>Rows</h2>\n"
      "<p class=\"sub\">{} of {} finished rows, an equal share of each way to end</p>\n"
      "<div class=\"tools\"><input id=\"search\" type=\"search\" placeholder=\"Search prompts and "
      "texts\" aria-label=\"Search\">\n"
      "<select id=\"order\" aria-label=\"Order\"><option value=\"row\">by row</option>"
      "<option value=\"longest\">longest first</option>"
      "<option value=\"shortest\">shortest first</option>",
      grouped(rows), grouped(inputs.statistics.finished()));
  if (logprobs) {
    out +=
        "<option value=\"likely\">most likely first</option>"
        "<option value=\"unlikely\">least likely first</option>";
  }
  out += "</select>\n";
  constexpr std::array<Stratum, kStrata> kAll = {Stratum::eod, Stratum::stop, Stratum::length,
                                                 Stratum::failed};
  for (std::size_t i = 0; i < kStrata; ++i) {
    if (inputs.statistics.strata[i] == 0) continue;
    out += fmt::format(
        "<button class=\"chip\" data-reason=\"{0}\" aria-pressed=\"true\"><span class=\"dot "
        "{0}\"></span>{0}</button>\n",
        name_of(kAll[i]));
  }
  if (logprobs) {
    out += "<span class=\"scale\">likely <i></i> unlikely token</span>\n";
  }
  return out +
         "<span class=\"sub\" id=\"count\"></span></div>\n"
         "<div class=\"browser\"><ul class=\"list\" id=\"list\"></ul><div class=\"detail\" "
         "id=\"detail\"></div></div></section>\n";
}

}  // namespace

std::string page_html(const PageInputs& inputs, const OrderedJson& sample) {
  const std::string name = std::filesystem::path(inputs.result.path()).filename().string();
  std::string out = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"generator\" content=\"gridmill report\">\n"
      "<link rel=\"icon\" href=\"data:,\">\n<title>{}</title>\n<style>\n",
      kPolicy, escape(name));
  out += page_style();
  out += "</style></head>\n<body><main>\n";
  out += heading_html(inputs) + tiles_html(inputs);
  out += "<div class=\"cards\">\n";
  out += progress_card(inputs) + reasons_card(inputs) + lengths_cards(inputs);
  out += logprobs_card(inputs) + failures_card(inputs) + time_card(inputs);
  out += browser_card(inputs, sample) + runs_card(inputs) + identity_card(inputs);
  out +=
      "</div>\n<footer>Made by gridmill report. The page is whole in itself and loads nothing."
      "</footer>\n</main>\n<script type=\"application/json\" id=\"sample-data\">";
  out += script_json(sample);
  out += "</script>\n<script>\n";
  out += page_script();
  out += "</script>\n</body></html>\n";
  return out;
}

}  // namespace gridmill::report_detail
