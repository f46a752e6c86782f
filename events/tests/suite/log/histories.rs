//! Histories in memory, thousands of them: whatever interleaving, duplicate, crash and restart, no promise is broken; and each
//! seeded bug breaks one, so the histories would find it.

use events::log::simulated::histories::{HistoryCounts, SeededBug, run};

/// Histories of the test of the product itself.
const HISTORIES: u64 = 6000;
/// So many at most until a seeded bug is found.
const HISTORIES_WITH_A_BUG: u64 = 3000;
const THREADS: u64 = 2;

fn run_all(histories: u64) -> HistoryCounts {
    let of_thread = |thread: u64| {
        let mut total = HistoryCounts::default();
        for seed in (thread..histories).step_by(THREADS as usize) {
            let counts = run(seed, None).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
            total.applied += counts.applied;
            total.rejected += counts.rejected;
            total.voids += counts.voids;
            total.crashes += counts.crashes;
        }
        total
    };
    let totals: Vec<HistoryCounts> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || of_thread(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    totals.into_iter().fold(HistoryCounts::default(), |sum, one| HistoryCounts {
        applied: sum.applied + one.applied,
        rejected: sum.rejected + one.rejected,
        voids: sum.voids + one.voids,
        crashes: sum.crashes + one.crashes,
    })
}

#[test]
fn no_history_breaks_a_promise() {
    let total = run_all(HISTORIES);
    let histories = HISTORIES as usize;
    assert!(
        total.applied > 3 * histories && total.rejected > histories,
        "the histories were rich: {total:?}"
    );
    assert!(total.voids > histories / 2 && total.crashes > histories, "the histories were bad: {total:?}");
}

/// The first promise that is found broken.
fn first_broken(bug: SeededBug) -> (u64, String) {
    (0..HISTORIES_WITH_A_BUG)
        .find_map(|seed| run(seed, Some(bug)).err().map(|broken| (seed, broken)))
        .unwrap_or_else(|| panic!("{bug:?} was not found"))
}

#[test]
fn a_process_that_forgets_commands_when_it_starts_again_is_found() {
    let (seed, broken) = first_broken(SeededBug::NoLookUpAfterRestart);
    eprintln!("seed {seed}: {broken}");
}

#[test]
fn a_rejection_that_is_answered_before_its_batch_is_judged_is_found() {
    let (seed, broken) = first_broken(SeededBug::RejectionBeforeVerdict);
    eprintln!("seed {seed}: {broken}");
    assert!(broken.contains("a state that never was"), "{broken}");
}

#[test]
fn an_answer_on_delivery_is_found() {
    let (seed, broken) = first_broken(SeededBug::AnswerOnDelivery);
    eprintln!("seed {seed}: {broken}");
    assert!(broken.contains("an acknowledged commit is void"), "{broken}");
}

#[test]
fn a_second_undecided_commit_on_a_stream_is_found() {
    let (seed, broken) = first_broken(SeededBug::SecondUndecidedCommit);
    eprintln!("seed {seed}: {broken}");
}

#[test]
fn a_decision_before_the_copy_has_caught_up_is_found() {
    let (seed, broken) = first_broken(SeededBug::DecisionBeforeCaughtUp);
    eprintln!("seed {seed}: {broken}");
    assert!(broken.contains("before the process started"), "{broken}");
}
