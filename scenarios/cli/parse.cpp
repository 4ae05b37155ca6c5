// SPDX-License-Identifier: Apache-2.0
// The only user of CLI11.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include "scenarios/cli/options.h"
#include "sim/base/suggest.h"

namespace lightcone::scenarios {

namespace {

constexpr int kInputIsWrong = 2;

constexpr const char* kExamples =
    "Examples:\n"
    "  lightcone run scenarios/files/llama3_8b_h100.textproto\n"
    "  lightcone run scenarios/files/llama3_8b_h100.textproto --set machine.gpu.hbm.stacks=8\n"
    "  lightcone explain runs/llama3_8b_h100\n"
    "  lightcone describe h100_sxm\n"
    "Exit codes: 0 done, 1 a run or points failed, 2 the input is wrong, 130 interrupted (finished work is kept).";

// The common options. Every command takes those that mean something to it.
void add_output_options(CLI::App& command, Options& options) {
  command.add_flag("--json", options.json, "Print the result as JSON");
  command.add_flag("--quiet,-q", options.quiet, "No progress and no notes on standard error");
}

void add_set_option(CLI::App& command, Options& options) {
  command
      .add_option("--set", options.overrides,
                  "Override a field, such as machine.gpu.hbm.stacks=8 (repeat for more fields)")
      ->type_name("PATH=VALUE")
      ->expected(1, 1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

// A whole number from `least` to `most`; CLI11's own range check answers in floating point.
CLI::Validator whole_number(std::uint64_t least, std::uint64_t most) {
  return CLI::Validator(
      [least, most](const std::string& text) {
        std::uint64_t value = 0;
        const bool good =
            CLI::detail::lexical_cast(text, value) && text.front() != '-' && value >= least && value <= most;
        return good ? std::string()
                    : "\"" + text + "\" is not a whole number from " + std::to_string(least) + " to " +
                          std::to_string(most);
      },
      "");
}

// One of `allowed`, with a suggestion when it is not.
CLI::Validator one_of(std::vector<std::string> allowed) {
  return CLI::Validator(
      [allowed = std::move(allowed)](const std::string& text) {
        if (std::find(allowed.begin(), allowed.end(), text) != allowed.end()) return std::string();
        return "\"" + text + "\" is not known" + suggestion_text(text, allowed);
      },
      "");
}

void add_simulation_options(CLI::App& command, Options& options) {
  add_set_option(command, options);
  command
      .add_option_function<std::string>(
          "--fidelity",
          [&options](const std::string& level) {
            options.fidelity = level == "analytical" ? Evaluator::analytical : Evaluator::cycle;
          },
          "analytical (closed form) or cycle (simulated; default)")
      ->type_name("LEVEL")
      ->check(one_of({"analytical", "cycle"}));
  command.add_flag("--exact", options.exact, "Simulate every CTA: no sampling of the steady state");
  command.add_option("--jobs,-j", options.jobs, "Processes at once (default: one per core)")
      ->type_name("N")
      ->check(whole_number(1, 4096));
}

void add_out_option(CLI::App& command, Options& options, const std::string& what) {
  command.add_option("--out,-o", options.out, what)
      ->type_name("PATH")
      ->check(CLI::Validator([](const std::string& path) { return path.empty() ? "the path is empty" : std::string(); },
                             ""));
}

void add_sample_options(CLI::App& command, Options& options) {
  command.add_option("--sample", options.sample, "Take N points at random, over all files together")
      ->type_name("N")
      ->check(whole_number(1, 1'000'000'000));
  command.add_option("--seed", options.seed, "Seed of the sample (default 1)")
      ->type_name("S")
      ->check(whole_number(0, UINT64_MAX));
  command.add_option("--machine", options.machine, "Machine by name or file; auto: the one that the gpu column names")
      ->type_name("NAME");
}

CLI::App* add_command(CLI::App& app, Options& options, Command command, const std::string& name,
                      const std::string& what) {
  CLI::App* sub = app.add_subcommand(name, what);
  sub->callback([&options, command] { options.command = command; });
  sub->fallthrough(false);
  add_output_options(*sub, options);
  return sub;
}

CLI::Option* add_inputs(CLI::App& command, Options& options, const std::string& name, const std::string& what) {
  return command.add_option(name, options.inputs, what)->type_name("")->required()->expected(1, 10000);
}

// CLI11 writes how often an argument may be repeated, which here is a limit that nobody meets.
class UsageWithoutCounts : public CLI::Formatter {
 public:
  std::string make_option_usage(const CLI::Option* option) const override { return option->get_name(true); }
};

void build(CLI::App& app, Options& options) {
  app.formatter(std::make_shared<UsageWithoutCounts>());
  app.set_version_flag("--version", "lightcone " LIGHTCONE_VERSION);
  app.require_subcommand(1);
  CLI::App* run = add_command(app, options, Command::run, "run", "Simulate a scenario and write a run folder");
  add_inputs(*run, options, "SCENARIO", "Scenario file or name");
  add_simulation_options(*run, options);
  add_out_option(*run, options, "Run folder (default runs/<scenario>)");
  run->add_flag("--no-plots", options.no_plots, "Leave the plots out");

  CLI::App* sweep = add_command(app, options, Command::sweep, "sweep",
                                "Run every point of a scenario's sweep; resumes when repeated");
  add_inputs(*sweep, options, "SCENARIO", "Scenario file or name with a sweep");
  add_simulation_options(*sweep, options);
  add_out_option(*sweep, options, "Sweep folder (default runs/<scenario>)");
  sweep->add_flag("--no-plots", options.no_plots, "Leave the plots out");

  CLI::App* list =
      add_command(app, options, Command::list, "list", "List models, machines, workloads, scenarios or ops");
  add_inputs(*list, options, "WHAT", "models, machines, workloads, scenarios or ops")
      ->check(one_of({"models", "machines", "workloads", "scenarios", "ops"}));

  CLI::App* describe =
      add_command(app, options, Command::describe, "describe", "Show a model, machine, workload or scenario");
  add_inputs(*describe, options, "NAME", "Catalog name or file");
  add_set_option(*describe, options);

  CLI::App* check = add_command(app, options, Command::check, "check", "Check a file and report every fault");
  add_inputs(*check, options, "FILE", "Scenario, model, machine or workload file");
  add_set_option(*check, options);

  CLI::App* explain =
      add_command(app, options, Command::explain, "explain", "Say in words what limits a run, and what would help");
  add_inputs(*explain, options, "RUN", "Run folder");

  CLI::App* predict =
      add_command(app, options, Command::predict, "predict", "Predict the time of every point of a CSV");
  add_inputs(*predict, options, "POINTS", "CSV file: source, gpu, op, params, dtype, ...");
  add_simulation_options(*predict, options);
  add_sample_options(*predict, options);
  add_out_option(*predict, options, "CSV to write (default: standard output)");

  CLI::App* validate =
      add_command(app, options, Command::validate, "validate", "Compare predictions with measured times");
  add_inputs(*validate, options, "MEASURED", "CSV files of measured points");
  add_simulation_options(*validate, options);
  add_sample_options(*validate, options);
  add_out_option(*validate, options, "Folder for the points, the errors and the plot (default runs/validate)");
  validate->add_flag("--plot", options.plot, "Draw predicted against measured");
  validate
      ->add_option_function<std::string>(
          "--half",
          [&options](const std::string& half) {
            options.half = half == "calibration" ? MeasuredHalf::calibration : MeasuredHalf::held_out;
          },
          "Only one half of the points, calibration or held_out; a shape is always in the same one (default: all)")
      ->type_name("HALF")
      ->check(one_of({"calibration", "held_out"}));
  validate->add_option("--table", options.table, "Also write the error table that results refer to")->type_name("FILE");

  CLI::App* import =
      add_command(app, options, Command::import, "import", "Turn a Hugging Face config.json into a model file");
  add_inputs(*import, options, "CONFIG", "config.json");
  add_out_option(*import, options, "Model file to write (default: standard output)");
  import->add_option("--name", options.name, "Name of the model (default: what the configuration calls itself)")
      ->type_name("NAME");
  import->add_option("--source", options.source, "What the model file cites as its source")->type_name("TEXT");

  CLI::App* report =
      add_command(app, options, Command::report, "report", "Print the summary of a run again, draw its plots");
  add_inputs(*report, options, "RUN", "Run or sweep folder");
  report->add_flag("--no-plots", options.no_plots, "Leave the plots out");
  app.footer(kExamples);
}

// ---- Errors --------------------------------------------------------------------------------------------------

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(sub->get_name());
  return names;
}

std::vector<std::string> option_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

EarlyExit wrong(const std::string& command, const std::string& message) {
  return EarlyExit{kInputIsWrong, {}, command + ": " + message + "\n"};
}

// A misspelt command or option: CLI11 would stumble over what follows it and complain of that.
std::optional<EarlyExit> misspelt(const CLI::App& app, const std::vector<std::string>& arguments) {
  if (arguments.empty()) return EarlyExit{kInputIsWrong, {}, app.help()};
  const CLI::App* where = &app;
  for (const std::string& argument : arguments) {
    if (argument == "--") break;
    if (argument.rfind("--", 0) == 0) {
      const std::string name = argument.substr(0, argument.find('='));
      const std::vector<std::string> known = option_names(*where);
      if (std::find(known.begin(), known.end(), name) == known.end()) {
        return wrong(where == &app ? "lightcone" : "lightcone " + where->get_name(),
                     "there is no option " + name + suggestion_text(name, known));
      }
    } else if (where == &app && argument.rfind('-', 0) != 0) {
      const std::vector<std::string> names = command_names(app);
      if (std::find(names.begin(), names.end(), argument) == names.end()) {
        return wrong("lightcone", "\"" + argument + "\" is not a command" + suggestion_text(argument, names));
      }
      where = app.get_subcommand(argument);
    }
  }
  return std::nullopt;
}

EarlyExit wrong_command_line(const CLI::App& app, const CLI::ParseError& error) {
  const std::vector<CLI::App*> chosen = app.get_subcommands();
  const std::string command = chosen.empty() ? "lightcone" : "lightcone " + chosen.front()->get_name();
  const bool missing = dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
  return wrong(command, error.what() + (missing ? " (see " + command + " --help)" : std::string()));
}

}  // namespace

std::variant<Options, EarlyExit> parse_command_line(const std::vector<std::string>& arguments) {
  Options options;
  CLI::App app("Simulates language-model architectures on hardware, cycle by cycle.", "lightcone");
  build(app, options);
  if (auto exit = misspelt(app, arguments)) return *exit;
  try {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());  // as CLI11 wants it
    app.parse(std::move(reversed));
  } catch (const CLI::CallForHelp&) {
    const std::vector<CLI::App*> chosen = app.get_subcommands();
    return EarlyExit{0, chosen.empty() ? app.help() : chosen.front()->help("lightcone"), {}};
  } catch (const CLI::CallForVersion& version) {
    return EarlyExit{0, std::string(version.what()) + "\n", {}};
  } catch (const CLI::ParseError& error) {
    return wrong_command_line(app, error);
  }
  if (options.command != Command::validate && options.inputs.size() > 1) {
    return wrong("lightcone " + app.get_subcommands().front()->get_name(),
                 "\"" + options.inputs[1] + "\" is one argument too many");
  }
  return options;
}

}  // namespace lightcone::scenarios
