//! An empty room: rotated journals turned into columns and zstd blocks, a tenth of the space, searched beside the live files.
//!
//! For: nothing yet. No code stands here and no crate may depend on it; rotated files stay in the classic format
//! (`journal-file`), which every reader of the suite and of the trade opens.
//!
//! Always, when it is built: an archive exports back to the journal's export format without loss, and is a document with byte
//! maps before it is code.
//!
//! Never: it will not take the place of the live format.
#![forbid(unsafe_code)]
