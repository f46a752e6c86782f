//! Progress of long commands: on a terminal, once they have taken a second, and nowhere else.

use std::{future::Future, io::IsTerminal as _, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How long something takes before its progress is shown.
const SHOWN_AFTER: Duration = Duration::from_secs(1);
/// How often it is drawn.
const DRAWN_EVERY: Duration = Duration::from_millis(200);

/// What is being done, and how many places of how many it has passed; 0 of 0 where that is not known.
pub(super) type Progress = (&'static str, u64, u64);

/// Waits for `work`, and shows meanwhile what `read` says.
pub(super) async fn shown<T>(
    read: impl Fn() -> Progress + Send + 'static,
    work: impl Future<Output = T>,
) -> T {
    let watching = std::io::stderr().is_terminal().then(|| tokio::spawn(watch(read)));
    let done = work.await;
    if let Some(watching) = watching {
        watching.abort();
        // Cancelled or not, it is over, and the bar is gone.
        let _ = watching.await;
    }
    done
}

async fn watch(read: impl Fn() -> Progress) {
    tokio::time::sleep(SHOWN_AFTER).await;
    let style = |template| ProgressStyle::with_template(template).expect("the template is well-formed");
    let measured = style("{msg}  {percent}%  {per_sec}  {eta} left  {wide_bar}");
    let unmeasured = style("{msg} for {elapsed}");
    let bar = Vanishing(ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr()));
    let mut shown = None;
    loop {
        let (words, passed, total) = read();
        if shown != Some(words) {
            shown = Some(words);
            bar.0.reset();
            bar.0.set_style(if total > 0 { measured.clone() } else { unmeasured.clone() });
            bar.0.set_message(words);
        }
        bar.0.set_length(total);
        bar.0.set_position(passed);
        tokio::time::sleep(DRAWN_EVERY).await;
    }
}

/// A bar that leaves no trace, however it ends.
struct Vanishing(ProgressBar);

impl Drop for Vanishing {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
