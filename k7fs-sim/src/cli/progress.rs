//! A progress bar, on a terminal only.

use std::borrow::Cow;

use indicatif::{ProgressBar, ProgressStyle};
use k7fs_sim::host::Progress;

/// Bytes done, drawn on standard error where that is a terminal.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    pub(crate) fn new(verb: &'static str) -> Self {
        let bar = ProgressBar::new(0);
        bar.set_style(style("{prefix} {bar:30} {bytes}/{total_bytes} {wide_msg}"));
        bar.set_prefix(verb);
        Self(bar)
    }
}

/// A style; the plain one where the template does not parse.
pub(crate) fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

impl Progress for Bar {
    fn total(&mut self, bytes: u64) {
        self.0.set_length(bytes);
    }

    fn done(&mut self, path: &str, bytes: u64) {
        self.0.inc(bytes);
        if !self.0.is_hidden() {
            self.0.set_message(Cow::Owned(path.escape_debug().to_string()));
        }
    }
}
