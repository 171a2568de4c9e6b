//! Files as bytes: counted and hashed as they lie on disk, then unpacked.

use ruzstd::decoding::FrameDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::{Arc, Mutex};

/// How the bytes of a file are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// Not at all.
    None,
    /// gzip (RFC 1952), one member or several.
    Gzip,
    /// Zstandard (RFC 8878), one frame or several.
    Zstd,
}

/// Bytes and hash of a file as it lies on disk, known once all of it has been read.
#[derive(Clone, Default)]
pub(crate) struct RawBytes(Arc<Mutex<(u64, blake3::Hasher)>>);

impl RawBytes {
    /// Bytes read so far.
    pub(crate) fn n_bytes(&self) -> u64 {
        self.0.lock().expect("no reader panics while it counts").0
    }

    /// Hash of the bytes read so far, in hexadecimal.
    pub(crate) fn hash(&self) -> String {
        self.0.lock().expect("no reader panics while it counts").1.finalize().to_hex().to_string()
    }
}

/// Counts and hashes what is read from a file.
pub(crate) struct Counted {
    pub(crate) file: File,
    pub(crate) raw: RawBytes,
}

impl Read for Counted {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(out)?;
        let mut raw = self.raw.0.lock().expect("no reader panics while it counts");
        raw.0 += n as u64;
        raw.1.update(&out[..n]);
        Ok(n)
    }
}

/// Decodes a file of Zstandard frames; ruzstd's own streaming decoder stops after the first.
struct ZstdReader<R: BufRead> {
    frame: FrameDecoder,
    source: R,
    in_frame: bool,
}

impl<R: BufRead> ZstdReader<R> {
    /// Starts the next frame, if there is one; frames that carry no data are passed over.
    fn start_frame(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.frame.reset(&mut self.source) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    io::copy(&mut (&mut self.source).take(length.into()), &mut io::sink())?;
                }
                Err(e) => return Err(io::Error::other(e)),
            }
        }
        Ok(false)
    }

    fn check_sum(&self) -> io::Result<()> {
        match self.frame.get_checksum_from_data() {
            Some(sum) if Some(sum) != self.frame.get_calculated_checksum() => {
                Err(io::Error::other("its checksum differs"))
            }
            _ => Ok(()),
        }
    }
}

impl<R: BufRead> Read for ZstdReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        use ruzstd::decoding::BlockDecodingStrategy::UptoBlocks;
        loop {
            if !self.in_frame {
                self.in_frame = self.start_frame()?;
                if !self.in_frame {
                    return Ok(0);
                }
            }
            // Block by block: memory stays at the frame's window (at most 128 MB), however much it unpacks to.
            while self.frame.can_collect() == 0 && !self.frame.is_finished() {
                self.frame.decode_blocks(&mut self.source, UptoBlocks(1)).map_err(io::Error::other)?;
            }
            let n = self.frame.read(out)?;
            if n > 0 || out.is_empty() {
                return Ok(n);
            }
            self.check_sum()?;
            self.in_frame = false;
        }
    }
}

/// The unpacked bytes of a file; memory stays bounded, however much they are.
pub(crate) fn decompress(file: impl BufRead + Send + 'static, compression: Compression) -> Box<dyn BufRead + Send> {
    match compression {
        Compression::None => Box::new(file),
        Compression::Gzip => Box::new(BufReader::with_capacity(1 << 16, flate2::bufread::MultiGzDecoder::new(file))),
        Compression::Zstd => {
            let decoder = ZstdReader { frame: FrameDecoder::new(), source: file, in_frame: false };
            Box::new(BufReader::with_capacity(1 << 16, decoder))
        }
    }
}
