// Copyright Hatchery authors. SPDX-License-Identifier: Apache-2.0
#include "services/report/page.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include "hatchery/v1/options.pb.h"
#include "kernels/core/version.h"
#include "services/common/convert.h"
#include "services/common/job.h"
#include "services/common/run_events.h"
#include "services/common/sha256.h"
#include "services/report/markup.h"

namespace hatchery::report {
namespace {

constexpr char kStyle[] =
#include "report.css.inc"
    ;
constexpr char kScript[] =
#include "report.js.inc"
    ;

constexpr double kChartWidth = 720, kChartHeight = 320;
constexpr uint32_t kMostDigestRows = 1000;

template <typename... Args>
std::string Format(const char* format, Args... args) {
  char text[256];
  std::snprintf(text, sizeof text, format, args...);
  return text;
}

std::string Percent(double share) { return Format("%.3g %%", 100 * share); }

std::string Duration(double seconds) {
  const auto s = static_cast<long long>(std::llround(seconds));
  if (s >= 86400) return Format("%lld d %lld h", s / 86400, s / 3600 % 24);
  if (s >= 3600) return Format("%lld h %02lld min", s / 3600, s / 60 % 60);
  if (s >= 60) return Format("%lld min %02lld s", s / 60, s % 60);
  return Format("%.1f s", seconds);
}

std::string UtcTime(int64_t unix_milliseconds) {
  const std::time_t seconds = unix_milliseconds / 1000;
  std::tm time{};
  if (::gmtime_r(&seconds, &time) == nullptr) return "";
  char text[64];
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &time);
  return text;
}

// For a Content-Security-Policy: what may be in the page is exactly `text`.
std::string SourceHash(std::string_view text) {
  const Sha256Hash hash = Sha256Of(text);
  unsigned char base64[4 * ((sizeof hash + 2) / 3) + 1];
  EVP_EncodeBlock(base64, hash.data(), static_cast<int>(hash.size()));
  return Format("'sha256-%s'", reinterpret_cast<const char*>(base64));
}

// `open` is a tag's name, with its attributes.
std::string Element(const std::string& open, const std::string& text) {
  std::string html = "<" + open + ">";
  html += EscapeMarkup(text);
  html.append("</").append(open, 0, open.find(' ')).append(">");
  return html;
}

// A table whose wide rows scroll by themselves. Columns named in `numbers` are aligned right.
class Table {
 public:
  Table(const std::string& label, std::vector<std::string> heads, std::vector<bool> numbers)
      : numbers_(std::move(numbers)) {
    html_ = "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"" +
            EscapeMarkup(label) + "\"><table><thead><tr>";
    for (size_t i = 0; i < heads.size(); ++i)
      html_ +=
          Element(numbers_[i] ? "th class=\"number\" scope=\"col\"" : "th scope=\"col\"", heads[i]);
    html_ += "</tr></thead><tbody>";
  }
  void Row(const std::vector<std::string>& cells) {
    html_ += "<tr>";
    for (size_t i = 0; i < cells.size(); ++i)
      html_ += Element(numbers_[i] ? "td class=\"number\"" : "td", cells[i]);
    html_ += "</tr>\n";
  }
  std::string Take() { return html_ + "</tbody></table></div>"; }

 private:
  std::vector<bool> numbers_;
  std::string html_;
};

std::string Section(const std::string& id, const std::string& title, const std::string& body) {
  return "<section id=\"" + id + "\"><h2>" + title + "</h2>" + body + "</section>\n";
}

std::string Head(const RunHistory& history) {
  return "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
         "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src " +
         SourceHash(kStyle) + "; script-src " + SourceHash(kScript) +
         "; base-uri 'none'; form-action 'none'\">\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
         "<meta name=\"color-scheme\" content=\"light dark\">\n" +
         Element("title", history.Name() + " · Hatchery run") + "\n<style>" + kStyle +
         "</style></head>\n";
}

std::string StateOf(const RunHistory& history) {
  const std::string step = std::to_string(history.step());
  if (history.closing) return "finished at step " + step;
  return "at step " + step + " of " + std::to_string(history.header.job.steps()) +
         ", not finished" +
         (history.torn_bytes == 0 ? "" : "; the journal ends with an incomplete record");
}

std::string Header(const RunHistory& history, const JobSpec& spec, const Model& model) {
  const std::string text = Format("egg, %u layers × %u, %s parameters", spec.layers, spec.hidden,
                                  FormatNumber(static_cast<double>(model.parameters())).c_str());
  std::string html = "<header><p class=\"kind\">Hatchery run</p>" + Element("h1", history.Name()) +
                     Element("p", text + " · " + StateOf(history));
  if (!history.marks.empty())
    html += Element("p class=\"quiet\"",
                    "trained from " + UtcTime(history.marks.front().unix_milliseconds) + " to " +
                        UtcTime(history.marks.back().unix_milliseconds));
  return html + "</header>\n";
}

std::string Tile(const std::string& name, const std::string& value, const std::string& unit,
                 const std::string& note) {
  std::string html = "<div>";
  html += Element("dt", name) + "<dd>" + Element("span class=\"value\"", value) + " " +
          EscapeMarkup(unit) + Element("p", note) + "</dd></div>";
  return html;
}

std::string DigestNow(const Run& run) {
  if (run.replayed) return FormatDigest(run.replayed->digest);
  if (run.history.closing) return FormatDigest(run.history.closing->digest);
  return "";
}

std::string Tiles(const Run& run) {
  const RunHistory& history = run.history;
  std::string html = "<dl class=\"tiles\">";
  if (!history.held_out.empty()) {
    const auto& [step, sums] = *history.held_out.rbegin();
    html += Tile("Held-out loss", Format("%.4f", BitsPerByte(sums.score, sums.tokens)), "bits/byte",
                 Format("step %u; %.2f %% of next bytes right", step, 100 * Accuracy(sums)));
  }
  if (!history.commits.empty())
    html += Tile("Training loss", Format("%.4f", history.commits.back().train_bits_per_byte),
                 "bits/byte", Format("perturbed population, step %u", history.commits.back().step));
  html += Tile("Tokens", FormatNumber(TokensAt(history, history.step())), "",
               FormatNumber(TokensAt(history, 1)) + " a step: population × window");
  if (const auto mean = MeanThroughput(history))
    html += Tile("Throughput", FormatNumber(*mean), "tokens/s",
                 "mean over " + Duration(history.marks.back().seconds) + " of training");
  if (const std::string digest = DigestNow(run); !digest.empty())
    html += Tile("Digest", digest.substr(0, 8) + "…", "",
                 run.replayed ? "proven by a replay of the journal" : "as the journal says");
  return html + "</dl>\n";
}

std::string Legend(const Chart& chart) {
  if (chart.series.size() < 2) return "";
  std::string html = "<ul class=\"legend\">";
  for (size_t i = 0; i < chart.series.size(); ++i)
    html +=
        "<li><button type=\"button\" aria-pressed=\"true\"><svg width=\"24\" height=\"10\" "
        "aria-hidden=\"true\"><line class=\"line " +
        SeriesClass(i) + "\" x1=\"1\" y1=\"5\" x2=\"23\" y2=\"5\"/></svg>" +
        EscapeMarkup(chart.series[i].name) + "</button></li>";
  return html + "</ul>";
}

std::string ChartFigure(const ReportChart& c) {
  return "<figure class=\"figure\">" + Element("h3", c.chart.title) + Legend(c.chart) +
         "<div class=\"canvas\">" + ChartToInlineSvg(c.chart, kChartWidth, kChartHeight) +
         "</div><p class=\"readout\" aria-live=\"polite\"></p>" + Element("figcaption", c.caption) +
         "</figure>\n";
}

std::string Curves(const Run& run) {
  std::string html =
      "<p class=\"hint\">Point at a curve to read it; drag sideways to zoom, "
      "double-click to zoom out. By keyboard: Tab to a chart, then ← → to read, "
      "+ and − to zoom, Esc to zoom out.</p><div class=\"figures\">";
  const auto charts = ChartsOfReport(run);
  for (const ReportChart& chart : charts) html += ChartFigure(chart);
  if (run.history.marks.size() < 2)
    html +=
        "<p class=\"missing\">The journal does not say when its steps were done, so there is "
        "no throughput.</p>";
  if (!run.replayed)
    html +=
        "<p class=\"missing\">Update rate and saturation by layer are left out: they follow "
        "from a replay of the journal, which --no-replay skipped.</p>";
  return Section("curves", "Curves", html + "</div>");
}

std::string Layers(const Run& run) {
  if (!run.replayed) return "";
  Table table("Tensors of the newest weights",
              {"tensor", "shape", "weights", "saturated", "changed since step 0", "mean |w|"},
              {false, false, true, true, true, true});
  for (const TensorSummary& t : run.replayed->tensors) {
    const std::string columns = std::to_string(t.tensor.columns);
    const std::string shape =
        t.tensor.rows == 1 ? columns : std::to_string(t.tensor.rows) + " × " + columns;
    table.Row({t.tensor.name, shape, std::to_string(t.tensor.elements()), Percent(t.saturation),
               Percent(t.changed), Format("%.2f", t.mean_magnitude)});
  }
  return Section(
      "tensors", "Tensors",
      Format("<p>The weights at step %u. Saturated: at −127 or 127. A weight of 16 means "
             "1.0. What activations saturate at is not measured: it needs data.</p>",
             run.history.step()) +
          table.Take());
}

std::string Samples(const Run& run, const PageOptions& options) {
  if (!run.replayed || run.replayed->samples.empty()) return "";
  std::string html = Format("<p>The model alone, %u bytes each, temperature %g, seed %llu, ",
                            options.sampling.bytes, options.sampling.temperature,
                            static_cast<unsigned long long>(options.sampling.seed));
  html +=
      options.prompt.empty() ? "without a prompt.</p>" : "going on from the prompt in bold.</p>";
  html += "<ol class=\"samples\">";
  for (const Sample& sample : run.replayed->samples)
    html += Format("<li><h3>Step %u</h3><pre>", sample.step) + "<b>" +
            EscapeMarkup(options.prompt) + "</b>" + EscapeMarkup(sample.text) + "</pre></li>\n";
  return Section("samples", "What it writes", html + "</ol>");
}

// The job's fields by their dotted names, with their units.
void AddFields(const nlohmann::ordered_json& json, const google::protobuf::Descriptor& type,
               const std::string& prefix, Table& table) {
  for (int i = 0; i < type.field_count(); ++i) {
    const auto& field = *type.field(i);
    const auto value = json.find(field.name());
    if (value == json.end()) continue;
    if (field.message_type() != nullptr) {
      AddFields(*value, *field.message_type(), prefix + field.name() + ".", table);
      continue;
    }
    const std::string text = value->is_string() ? value->get<std::string>() : value->dump();
    if (!text.empty())
      table.Row({prefix + field.name(), text, field.options().GetExtension(v1::unit)});
  }
}

std::string Configuration(const RunHistory& history) {
  Table table("The job", {"field", "value", "unit"}, {false, false, false});
  AddFields(nlohmann::ordered_json::parse(JobToJson(history.header.job)), *v1::Job::descriptor(),
            "", table);
  return Section("configuration", "Configuration",
                 Element("p", "Written by " + history.header.software + ", contract version " +
                                  std::to_string(core::kContractVersion) + ".") +
                     table.Take());
}

std::string DigestTable(const Run& run) {
  const RunHistory& history = run.history;
  const uint32_t every = history.step() / kMostDigestRows + 1;
  Table table("Digests", {"step", "digest of the replica"}, {true, false});
  for (uint32_t step = 0; step < history.step(); step += every)
    table.Row({std::to_string(step), FormatDigest(history.commits[step].digest_before)});
  if (const std::string last = DigestNow(run); !last.empty())
    table.Row({std::to_string(history.step()), last});
  const std::string which = every == 1 ? "Every step" : Format("Every %u steps", every);
  return "<details><summary>" + which + "</summary>" + table.Take() + "</details>";
}

std::string Digests(const Run& run) {
  const RunHistory& history = run.history;
  std::string proof =
      run.replayed
          ? Format(
                "Replaying the journal's commits gave the same digest at each of %llu places "
                "where it tells one.",
                static_cast<unsigned long long>(run.replayed->digests_compared))
          : "The digests are the journal's own: nothing was replayed (--no-replay).";
  if (!history.closing)
    proof += " The run is not finished: the digest of its newest weights stands in no record yet.";
  Table table("Digests of the run", {"of", "value"}, {false, false});
  table.Row({"replica at step 0", FormatDigest(history.header.initial_digest)});
  if (const std::string last = DigestNow(run); !last.empty())
    table.Row({"replica at step " + std::to_string(history.step()), last});
  table.Row({"journal's chain, SHA-256", ToHex(history.chain)});
  table.Row({"journal", std::to_string(history.journal_bytes) + " bytes"});
  return Section("digests", "Digest chain", Element("p", proof) + table.Take() + DigestTable(run));
}

std::string Events(const RunHistory& history) {
  Table table("Events", {"time", "step", "kind", "text"}, {false, true, false, false});
  size_t shown = 0;
  for (const EventRecord& event : history.events) {
    if (event.kind == kTimeEvent) continue;
    table.Row(
        {UtcTime(event.unix_milliseconds), std::to_string(event.step), event.kind, event.text});
    ++shown;
  }
  return shown == 0 ? "" : Section("events", "Events", table.Take());
}

std::string Navigation(const std::string& body) {
  std::string html = "<nav aria-label=\"Sections\"><ul>";
  for (const auto& [id, name] :
       {std::pair("curves", "Curves"), std::pair("tensors", "Tensors"),
        std::pair("samples", "Samples"), std::pair("configuration", "Configuration"),
        std::pair("digests", "Digests"), std::pair("events", "Events")})
    if (body.find("<section id=\"" + std::string(id) + "\"") != std::string::npos)
      html += "<li><a href=\"#" + std::string(id) + "\">" + name + "</a></li>";
  return html + "</ul></nav>\n";
}

}  // namespace

std::string RenderPage(const Run& run, const PageOptions& options) {
  const RunHistory& history = run.history;
  const auto spec = SpecFromJob(history.header.job);
  const Model model(*spec);
  const std::string body = Curves(run) + Layers(run) + Samples(run, options) +
                           Configuration(history) + Digests(run) + Events(history);
  return Head(history) + "<body>\n" + Header(history, *spec, model) + Navigation(body) +
         "<main>\n" + Tiles(run) + body + "</main>\n<script>" + kScript +
         "</script></body></html>\n";
}

}  // namespace hatchery::report
