//! `kolonne`: the office's program and page, the command line, the hub, the demo.
//!
//! It shows and asks; rules, formats, keys and the network are the core's.

mod cli;
mod commands;
mod demo;
mod failure;
mod key_text;
mod lang;
mod local;
mod output;
mod texts;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::failure::Failure;
use crate::lang::Language;
use crate::output::{Form, Output};

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
            // Nothing that still runs holds anything that isn't on disk.
            runtime.shutdown_background();
            done
        });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}
