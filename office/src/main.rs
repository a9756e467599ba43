//! `kolonne`: the office's program and page, the command line, the hub, the demo.
//!
//! It shows and asks; rules, formats, keys and the network are the core's.

mod cli;
mod commands;
mod demo;
mod failure;
mod key_text;
mod kit_mark;
mod kit_page;
mod lang;
mod local;
mod output;
mod texts;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;
use crate::lang::Language;
use crate::output::{Form, Output};

/// How long work under way may take to finish once the program ends.
const LONGEST_END: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let filter = EnvFilter::try_from_env("KOLONNE_LOG").unwrap_or_else(|_| EnvFilter::new("off"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let output = Output {
        form: if cli.json { Form::Json } else { Form::Human },
        language: Language::choose(cli.lang),
    };
    let done = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::from)
        .and_then(|runtime| {
            let done = runtime.block_on(commands::run(cli, output));
            // Work in a database or a library must not meet the end of the process half done: their
            // own clean-up would take the ground from under it. Only a name look-up lasts longer.
            runtime.shutdown_timeout(LONGEST_END);
            done
        });
    match done {
        Ok(()) if !output::is_whole() => {
            let failure = Failure::new("output_lost");
            output.failure(&failure);
            ExitCode::from(failure.exit_code())
        }
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}
