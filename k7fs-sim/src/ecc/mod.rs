//! The page code against its limits: what the decoder mends, measured, beside what any code could and what BCH does.
//!
//! ```text
//! bounds       sphere packing, Shannon, BCH: computed, not typed in
//! frame        one random sealed page with wrong bits, decoded, judged by the real checksum
//! measure      many of them on all cores; the same frames whatever the number of threads
//! campaign     the counts as files that a later run continues
//! rates        counts by number of wrong bits -> frame error rate -> bit error rate, and the rule for what is unknown
//! plan         which frames tell most; session does them until the time is up
//! life         a volume on a chip at its rated end-of-life error rate, and beyond
//! report       the figures of `k7fs ecc`; shares and curves show more of them
//! ```

pub mod bounds;
mod campaign;
mod confidence;
pub mod curves;
mod fingerprint;
mod frame;
mod life;
mod measure;
mod plan;
mod rates;
mod recorded;
mod report;
mod session;
mod shares;
mod tally;

pub use campaign::{Campaign, CampaignError, CampaignLock, Stretch};
pub use confidence::upper_bound;
pub use fingerprint::fingerprint;
pub use frame::{Bench, Channel, Judge};
pub use life::{FACTORS, Life, live};
pub use measure::Task;
pub use plan::{GOALS, Goal, Planner};
pub use rates::{BOUND, Count, Curve, Losses, MEDIAN};
pub use recorded::{DIRECTORY, recorded};
pub use report::{Bounds, LayoutReport, Report, is_gated};
pub use session::Session;
pub use shares::{Share, shares, shares_of};
pub use tally::{RungTally, Tally};
