//! The report for people.

use std::fmt::Write;

use super::{
    super::{Bound, Comparison, Goal, Outcome, Run},
    Report, Section, plot_name,
};

/// The text of `bench-report.md`.
pub(super) fn write(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = fill(&mut text, report);
    text
}

fn fill(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "# Benchmark report\n")?;
    writeln!(
        out,
        "`{}`, {} form, seed {}, began {}.\n",
        report.command, report.form, report.seed, report.began
    )?;
    writeln!(
        out,
        "Each comparison ran in pairs, A B A B …, after one pair to warm up. A ratio is that of \
         the two runs of a pair; the table has the median and, in brackets, the extremes.\n"
    )?;
    writeln!(
        out,
        "| stage | comparison | ratio | of processor time | goal | |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    for section in &report.stages {
        summary(out, section)?;
    }
    for section in &report.stages {
        writeln!(out, "\n## {}\n\n{}", section.name, section.about)?;
        match &section.outcome {
            Ok(outcome) => details(out, section, outcome)?,
            Err(reason) => writeln!(out, "\nNot measured: {reason}")?,
        }
    }
    pace(out, &report.stages)?;
    writeln!(out, "\n## Machine and versions\n\n| | |\n|---|---|")?;
    for (name, fact) in &report.machine {
        writeln!(out, "| {name} | {fact} |")?;
    }
    Ok(())
}

fn pace(out: &mut String, sections: &[Section]) -> std::fmt::Result {
    writeln!(
        out,
        "\n## How fast the machine was\n\nThe same work on all cores at once, before and after each \
         stage: multiplications, and reads all over 64 MiB.\n"
    )?;
    writeln!(
        out,
        "| stage | minutes | arithmetic, ms | memory, ms |\n|---|---|---|---|"
    )?;
    for section in sections {
        let [before, after] = &section.yardstick;
        writeln!(
            out,
            "| {} | {:.1} | {:.0}, {:.0} | {:.0}, {:.0} |",
            section.name,
            section.took_seconds / 60.0,
            before.arithmetic_ms,
            after.arithmetic_ms,
            before.memory_ms,
            after.memory_ms,
        )?;
    }
    Ok(())
}

fn summary(out: &mut String, section: &Section) -> std::fmt::Result {
    let stage = section.name;
    let outcome = match &section.outcome {
        Ok(outcome) => outcome,
        Err(reason) => return writeln!(out, "| {stage} | | | | | not measured: {reason} |"),
    };
    for comparison in &outcome.comparisons {
        writeln!(
            out,
            "| {stage} | {} | {} | {} | {} | {} |",
            comparison.name,
            comparison.spread(),
            comparison
                .cpu_spread()
                .map_or_else(String::new, |ratio| ratio.to_string()),
            goal(comparison.goal),
            verdict(comparison.is_met()),
        )?;
    }
    for bound in &outcome.bounds {
        // So that a factor near one tells on which side it is.
        let decimals = if bound.bound < 10.0 { 2 } else { 1 };
        writeln!(
            out,
            "| {stage} | {} | {:.decimals$} | | {} | {} |",
            bound.name,
            bound.spread(),
            limit(bound),
            verdict(Some(bound.is_met())),
        )?;
    }
    for absent in &outcome.absent {
        writeln!(
            out,
            "| {stage} | {} | | | | not compared: {} |",
            absent.peer, absent.reason
        )?;
    }
    Ok(())
}

fn details(out: &mut String, section: &Section, outcome: &Outcome) -> std::fmt::Result {
    for note in &outcome.notes {
        writeln!(out, "\n{note}")?;
    }
    for (name, version) in &outcome.versions {
        writeln!(out, "\n{name}: {version}")?;
    }
    for comparison in &outcome.comparisons {
        repetitions(out, section.name, comparison)?;
    }
    for bound in &outcome.bounds {
        let values: Vec<String> = bound.values.iter().map(|v| format!("{v:.3}")).collect();
        writeln!(
            out,
            "\n{}, {}: {}",
            bound.name,
            limit(bound),
            values.join(", ")
        )?;
    }
    Ok(())
}

fn repetitions(out: &mut String, stage: &str, comparison: &Comparison) -> std::fmt::Result {
    writeln!(
        out,
        "\n### {}\n\nA: {}. B: {}.\n\n![every ratio]({})\n",
        comparison.name,
        comparison.ours,
        comparison.peer,
        plot_name(stage, &comparison.name),
    )?;
    let unit = &comparison.unit;
    writeln!(
        out,
        "| pair | side | {unit} | seconds | {unit}/s | µs of processor each | peak MiB | ratio | other |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|")?;
    for (number, pair) in comparison.pairs.iter().enumerate() {
        let ratio = format!("{:.3}", comparison.ratio(pair));
        row(out, number + 1, "A", &pair.ours, "")?;
        row(out, number + 1, "B", &pair.peer, &ratio)?;
    }
    for command in &comparison.commands {
        writeln!(out, "\n    {command}")?;
    }
    Ok(())
}

fn row(out: &mut String, number: usize, side: &str, run: &Run, ratio: &str) -> std::fmt::Result {
    let values: Vec<String> = run
        .values
        .iter()
        .map(|(n, v)| format!("{n} {v:.3}"))
        .collect();
    writeln!(
        out,
        "| {number} | {side} | {} | {:.3} | {:.0} | {} | {:.0} | {ratio} | {} |",
        run.events,
        run.seconds,
        run.rate(),
        run.cpu_text(),
        run.peak_bytes() as f64 / f64::from(1 << 20),
        values.join(", "),
    )
}

fn goal(goal: Goal) -> String {
    match goal {
        Goal::RateAtLeast(least) => format!("rate ≥ {least}"),
        Goal::TimeAtMost(most) => format!("time ≤ {most}"),
        Goal::None => String::new(),
    }
}

fn limit(bound: &Bound) -> String {
    format!("{} {}", if bound.at_least { "≥" } else { "≤" }, bound.bound)
}

fn verdict(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => "met",
        Some(false) => "**missed**",
        None => "",
    }
}
