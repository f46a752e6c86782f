//! The binary `guildhall`.

use std::process::ExitCode;

/// Many threads allocate and free for each other here: the system's allocator kept more than twice as much memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    gateway::cli::main()
}
