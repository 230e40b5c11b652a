//! The codec of single files and directories, beside that of the volume.

use super::Volume;
use super::inode::Inode;
use super::namespace::NAME_ROWS;
use super::types::Kind;
use crate::codec::CodecId;
use crate::error::Error;
use crate::flash::Flash;

impl<F: Flash> Volume<'_, F> {
    /// Chooses what a file's new content is compressed with, whatever the volume's codec is; `None` leaves that to the volume
    /// again. A directory's choice is that of the files and directories which are created in it from then on.
    ///
    /// Content that is there already stays as it is until it is written or [recompressed](Self::recompress_step). The choice goes
    /// with the object, under any name; a copy has its own. [`Metadata::codec`](crate::Metadata::codec) tells it. Writes nothing
    /// where nothing differs. Durable on return, outside a transaction.
    ///
    /// # Errors
    /// `InvalidOption` where the volume was made without this codec, `IsASymlink`, `IsSpecial`, `ReadOnly`, `NoSpace`, those of the
    /// path.
    pub fn choose_codec(&mut self, path: &str, codec: Option<CodecId>) -> Result<(), Error> {
        self.writable()?;
        let (object, inode) = self.existing(path)?;
        match inode.kind {
            Kind::File | Kind::Directory => {}
            Kind::Symlink => return Err(Error::IsASymlink),
            _ => return Err(Error::IsSpecial),
        }
        if codec.is_some_and(|codec| self.tree.log.signature.codecs & codec.bit() == 0) {
            return Err(Error::InvalidOption);
        }
        if inode.codec == codec {
            return Ok(());
        }
        self.begin_names(0, NAME_ROWS)?;
        self.change(|volume| volume.put_inode(object, &Inode { codec, ..inode }))?;
        Ok(self.commit_unless_running()?)
    }
}
