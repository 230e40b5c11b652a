//! Commits: one item that makes everything since the last one visible.
//!
//! ```text
//! transaction, first page, predecessor+1, predecessor's tag 4 bytes, moved page+1, its life on authenticated volumes, next object,
//! 0 or replaced first page+1, replaced page, 0 or reach+1
//! ```
//!
//! The replaced pages stand in the commit that a mount writes after an unclean stop: it says again what the last commit's
//! page said, because that page may have been torn. A reader takes it in that page's place.
//!
//! A commit with a *reach* says again, as references, every change of that many commits before it: replay reads no further.

use super::item::{ITEM_HEADER_BYTES_MAX, ItemHeader, ItemKind, Key};
use super::table::{Age, Row};
use super::{HeadId, Log};
use crate::error::inner::Error;
use crate::flash::Flash;
use crate::sabotage::{Step, is_off};
use crate::tree::KIND_EXTENT;
use crate::varint::{Reader, Writer};

/// Pages with this much payload repeat small values.
const REPEAT_PAYLOAD_MIN: u32 = 1024;
/// Longer values are not repeated.
const REPEATED_BYTES_MAX: u32 = 48;
/// Room for a repeated value's header, and behind it for the commit.
const REPEAT_RESERVE: u32 = (2 * ITEM_HEADER_BYTES_MAX + COMMIT_BYTES_MAX) as u32;
/// Type and length of a commit.
const KEYLESS_HEADER_BYTES_MAX: u32 = 2;
/// Commits that one commit says again, at most.
const REACH_MAX: u32 = 4096;
/// Bytes of the longest commit body.
const COMMIT_BYTES_MAX: usize = 64;

/// The page that a commit takes the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Replaced {
    /// First page of that commit's transaction.
    pub(super) first_page: u32,
    /// The page with that commit.
    pub(super) page: u32,
}

/// What a commit says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) transaction: u64,
    /// The transaction's first page.
    pub(super) first_page: u32,
    /// The page of the commit before.
    pub(super) predecessor: Option<u32>,
    pub(super) predecessor_tag: u32,
    pub(super) moved_page: Option<u32>,
    /// The life of the moved head's block, on authenticated volumes.
    pub(super) moved_life: Option<u32>,
    pub(super) next_object: u64,
    pub(super) replaced: Option<Replaced>,
    /// Everything that this many commits before it changed is said again in this transaction.
    pub(super) reach: Option<u32>,
}

impl Commit {
    fn encode<'b>(&self, bytes: &'b mut [u8]) -> Option<&'b [u8]> {
        let mut writer = Writer::new(bytes);
        writer.uleb(self.transaction);
        writer.uleb(self.first_page.into());
        writer.uleb_plus_one(self.predecessor);
        writer.bytes(&self.predecessor_tag.to_le_bytes());
        writer.uleb_plus_one(self.moved_page);
        if let Some(life) = self.moved_life {
            writer.uleb(life.into());
        }
        writer.uleb(self.next_object);
        writer.uleb_plus_one(self.replaced.map(|replaced| replaced.first_page));
        if let Some(replaced) = self.replaced {
            writer.uleb(replaced.page.into());
        }
        writer.uleb_plus_one(self.reach);
        writer.finish()
    }

    fn decode(bytes: &[u8], is_keyed: bool) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let commit = Self {
            transaction: reader.uleb(),
            first_page: reader.uleb32(),
            predecessor: reader.uleb_minus_one(),
            predecessor_tag: u32::from_le_bytes(reader.array()),
            moved_page: reader.uleb_minus_one(),
            moved_life: is_keyed.then(|| reader.uleb32()),
            next_object: reader.uleb(),
            replaced: reader.uleb_minus_one().map(|first_page| Replaced { first_page, page: reader.uleb32() }),
            reach: reader.uleb_minus_one(),
        };
        reader.finish(commit)
    }

    /// Bytes of the body, whatever the places and the reach turn out to be; zeros fill it up.
    fn len_max(&self) -> u32 {
        let mut body = [0u8; COMMIT_BYTES_MAX];
        let far = Some(u32::MAX);
        let longest = Self { first_page: u32::MAX, moved_page: far, reach: Some(REACH_MAX), ..*self };
        let longest = Self { moved_life: longest.moved_life.and(far), ..longest };
        longest.encode(&mut body).map_or(COMMIT_BYTES_MAX, <[u8]>::len) as u32
    }

    /// Whether nothing but this commit is needed to know what has changed since a transaction.
    pub(super) fn reaches(&self, transaction: u64) -> bool {
        self.reach.is_some_and(|reach| self.transaction <= transaction + 1 + u64::from(reach))
    }
}

impl<F: Flash> Log<'_, F> {
    /// Ends the transaction: everything appended since the last commit is durable and visible on return.
    pub(crate) fn commit(&mut self) -> Result<(), Error> {
        let mut commit = self.next_commit();
        self.repeat_small_values()?;
        commit.reach = self.repeat_changes(&commit)?;
        self.append_commit(commit)?;
        self.table.commit_pending();
        Ok(())
    }

    /// The commit behind the last one.
    pub(super) fn next_commit(&self) -> Commit {
        Commit {
            transaction: self.transaction + 1,
            first_page: 0,
            predecessor: self.last_commit,
            predecessor_tag: self.commit_tag,
            moved_page: None,
            moved_life: self.life_said(0),
            next_object: self.next_object,
            replaced: None,
            reach: None,
        }
    }

    /// Appends a commit; first page and moved position are filled in.
    pub(super) fn append_commit(&mut self, mut commit: Commit) -> Result<(), Error> {
        // What the commit refers to goes first: a cut between the two leaves no commit, never a commit without content.
        if !is_off(Step::CommitOrder) {
            self.flush_partial(HeadId::Moved)?;
        }
        commit.moved_page = self.moved_page();
        commit.moved_life = self.life_said(commit.moved_page.map_or(0, |page| page.saturating_sub(1)));
        let len = commit.len_max();
        self.begin(HeadId::Front, ItemKind::Commit, Key::MIN, len)?;
        commit.first_page = self.transaction_start.unwrap_or(0);
        let mut body = [0u8; COMMIT_BYTES_MAX];
        commit.encode(&mut body).ok_or(Error::Exhausted)?;
        // Marked before the body is pushed: the body may fill its page to the last byte.
        self.mark_commit();
        self.push(HeadId::Front, body.get(..len as usize).unwrap_or_default())?;
        self.flush_partial(HeadId::Front)?;
        if is_off(Step::CommitOrder) {
            self.flush_partial(HeadId::Moved)?;
        }
        self.transaction = commit.transaction;
        self.commits_in_tail = self.commits_in_tail.saturating_add(1);
        Ok(())
    }

    /// Says small values that the last commit's page has again where the page of this one has room for them.
    ///
    /// Reading a page of NAND costs about as much whatever part of it is needed: what changes often is then found on the
    /// last page, which is in memory. On small pages there is no room to speak of.
    fn repeat_small_values(&mut self) -> Result<(), Error> {
        let Some(last_commit) = self.last_commit.filter(|_| self.pages.space.payload >= REPEAT_PAYLOAD_MIN) else {
            return Ok(());
        };
        let mut from = Key::MIN;
        while let Some(row) = self.table.next_in(0, &from, Age::Active) {
            from = row.key.successor();
            let Some(place) = row.place.filter(|_| row.key.kind != KIND_EXTENT) else { continue };
            let newest = self.table.find(0, &row.key);
            if place.len > REPEATED_BYTES_MAX
                || self.pages.space.page_of(place.address) != last_commit
                || newest.is_none_or(|newest| newest.age == Age::Pending)
            {
                continue;
            }
            let room = self.room_in_page(HeadId::Front);
            if self.table.len() >= self.table.capacity() || room < place.len + REPEAT_RESERVE {
                break;
            }
            self.put_copy(row.key, &place)?;
        }
        Ok(())
    }

    /// Says all changes since the checkpoint again, as references, if they fit the page under construction, and tells how
    /// many commits that reaches back. A mount after a cut then reads this one page, however many commits there were.
    pub(super) fn repeat_changes(&mut self, commit: &Commit) -> Result<Option<u32>, Error> {
        let before = commit.transaction.checked_sub(self.checkpoint.transaction + 1);
        let reach = before.and_then(|before| u32::try_from(before).ok()).filter(|reach| *reach <= REACH_MAX);
        // While a merge is under way, the table lacks what it has taken.
        if self.merge_start.is_some() || reach.is_none() || !self.changes_fit(commit) {
            return Ok(None);
        }
        self.say_changes()?;
        Ok(reach)
    }

    /// Whether the committed changes and the commit fit the page under construction.
    fn changes_fit(&self, commit: &Commit) -> bool {
        // After a cut the page is said again, and the commit on it then names what it replaces: room for that, or it would
        // take two.
        let far = Replaced { first_page: u32::MAX, page: u32::MAX };
        let again = Commit { replaced: Some(far), ..*commit };
        let reserve = again.len_max() + KEYLESS_HEADER_BYTES_MAX;
        let mut room = self.room_in_page(HeadId::Front).checked_sub(reserve);
        let mut index = 0;
        while let Some((row, left)) = self.next_change(&mut index).zip(room) {
            let len = row.place.as_ref().map_or(0, |place| self.reference_len(place));
            let kind = if row.place.is_some() { ItemKind::Reference } else { ItemKind::Delete };
            let header = ItemHeader { kind, key: row.key, len };
            room = left.checked_sub(header.encoded_len() + len);
        }
        room.is_some()
    }

    /// Says the committed changes again, as references.
    pub(super) fn say_changes(&mut self) -> Result<(), Error> {
        let mut index = 0;
        while let Some(row) = self.next_change(&mut index) {
            match &row.place {
                Some(place) => self.append_reference(row.key, place)?,
                None => self.begin(HeadId::Front, ItemKind::Delete, row.key, 0)?,
            }
        }
        Ok(())
    }

    /// The committed row at an index or behind it that the running transaction does not hide.
    fn next_change(&self, index: &mut usize) -> Option<Row> {
        loop {
            let row = self.table.row(*index).filter(|row| row.level == 0)?;
            let is_hidden = self.table.is_hidden(*index);
            *index += 1;
            if row.age != Age::Pending && !is_hidden {
                return Some(row);
            }
        }
    }

    /// The next page of the moved head, counted through the volume.
    pub(super) fn moved_page(&self) -> Option<u32> {
        self.moved.block.map(|_| self.moved.first_page.saturating_add(self.moved.page))
    }

    /// The commit on a page.
    pub(super) fn commit_on(&mut self, page: u32) -> Result<Commit, Error> {
        let header = self.pages.header(page)?;
        let mut address = self.pages.space.address(page, header.first_item);
        // Every item takes at least two bytes.
        for _ in 0..self.pages.space.payload {
            let Some(item) = self.item_at(address)? else { break };
            if item.header.kind == ItemKind::Commit {
                let mut body = [0u8; COMMIT_BYTES_MAX];
                let len = (item.header.len as usize).min(body.len());
                let body = body.get_mut(..len).unwrap_or_default();
                self.read(item.body, body)?;
                return Commit::decode(body, self.is_keyed()).ok_or(Error::Corrupt { page });
            }
            if self.pages.space.page_of(item.next) != page {
                break;
            }
            address = item.next;
        }
        Err(Error::Corrupt { page })
    }
}
