//! How long operations tell what they are doing.

/// Hears what a long operation has done so far.
pub trait Progress {
    /// The operation will move about this many bytes.
    fn total(&mut self, bytes: u64);
    /// That many more bytes are done, lately of `path`.
    fn done(&mut self, path: &str, bytes: u64);
}

/// Hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn total(&mut self, _bytes: u64) {}
    fn done(&mut self, _path: &str, _bytes: u64) {}
}
