//! One direction's protection of records, made from the secrets of a finished handshake: the cipher of rustls' provider
//! with its sequence number. Opening works in place; sealing makes the record that leaves.
#![forbid(unsafe_code)]

use bytes::{Buf, BytesMut};
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, Iv, MessageDecrypter, MessageEncrypter, OutboundChunks,
    OutboundPlainMessage,
};
use rustls::{
    ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion, SupportedCipherSuite, Tls12CipherSuite,
};

use super::record::{HEADER_BYTES, Header};

/// What opens the records of the peer.
pub(super) struct Opener {
    decrypter: Box<dyn MessageDecrypter>,
    sequence: u64,
}

/// What seals ours.
pub(super) struct Sealer {
    encrypter: Box<dyn MessageEncrypter>,
    sequence: u64,
    /// Records that one key may seal.
    sequence_max: u64,
}

/// Records at the end of a key's life that are kept for saying so: a key update, or an alert.
const LAST_RECORDS: u64 = 4;

impl Opener {
    pub(super) fn new(
        suite: SupportedCipherSuite,
        secrets: (u64, ConnectionTrafficSecrets),
    ) -> Result<Self, Error> {
        let (sequence, secrets) = secrets;
        let (key, iv) = key_and_iv(secrets)?;
        let decrypter = match suite {
            SupportedCipherSuite::Tls13(suite) => suite.aead_alg.decrypter(key, iv),
            SupportedCipherSuite::Tls12(suite) => suite.aead_alg.decrypter(key, split_iv(suite, &iv).0),
        };
        Ok(Self { decrypter, sequence })
    }

    /// Opens a whole record where it stands: what stays in `record` is its content, of the type that is returned.
    pub(super) fn open(&mut self, header: &Header, record: &mut BytesMut) -> Result<ContentType, Error> {
        let start = record.as_ptr().addr();
        let sealed =
            InboundOpaqueMessage::new(header.content_type, header.version, &mut record[HEADER_BYTES..]);
        let opened = self.decrypter.decrypt(sealed, self.sequence)?;
        self.sequence += 1;
        let (content_type, length) = (opened.typ, opened.payload.len());
        // Ciphers open in place; whether they leave room in front (a nonce of TLS 1.2) is their own affair.
        let skipped = opened.payload.as_ptr().addr() - start;
        if length == 0 {
            record.clear();
        } else {
            record.advance(skipped);
            record.truncate(length);
        }
        Ok(content_type)
    }
}

impl Sealer {
    pub(super) fn new(
        suite: SupportedCipherSuite,
        secrets: (u64, ConnectionTrafficSecrets),
    ) -> Result<Self, Error> {
        let (sequence, secrets) = secrets;
        let (key, iv) = key_and_iv(secrets)?;
        let (encrypter, records_max) = match suite {
            SupportedCipherSuite::Tls13(suite) => {
                (suite.aead_alg.encrypter(key, iv), suite.common.confidentiality_limit)
            }
            SupportedCipherSuite::Tls12(suite) => {
                let (fixed, explicit) = split_iv(suite, &iv);
                (suite.aead_alg.encrypter(key, fixed, explicit), suite.common.confidentiality_limit)
            }
        };
        let sequence_max = records_max.saturating_sub(LAST_RECORDS);
        let mut sealer = Self { encrypter, sequence: 0, sequence_max };
        if sequence > 0 {
            // aws-lc-rs takes the first record that it seals for the first of its key, and then refuses those that cannot
            // follow it. rustls has sealed the real first one (a ticket, its Finished) with a cipher of its own: so one is
            // sealed for nobody. It never leaves here, so that its nonce was used before tells nobody anything.
            sealer.seal(ContentType::ApplicationData, OutboundChunks::Single(&[]))?;
            sealer.sequence = sequence;
        }
        Ok(sealer)
    }

    /// Whether the key has sealed as many records as it should (RFC 8446 §5.5).
    pub(super) fn is_worn_out(&self) -> bool {
        self.sequence >= self.sequence_max
    }

    /// Makes a record of `content`: header and all, in memory of its own.
    pub(super) fn seal(
        &mut self,
        content_type: ContentType,
        content: OutboundChunks<'_>,
    ) -> Result<Vec<u8>, Error> {
        let content =
            OutboundPlainMessage { typ: content_type, version: ProtocolVersion::TLSv1_2, payload: content };
        let sealed = self.encrypter.encrypt(content, self.sequence)?;
        self.sequence += 1;
        Ok(sealed.encode())
    }

    #[cfg(test)]
    pub(super) fn wear_out(&mut self) {
        self.sequence_max = self.sequence;
    }
}

fn key_and_iv(secrets: ConnectionTrafficSecrets) -> Result<(AeadKey, Iv), Error> {
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => Ok((key, iv)),
        _ => Err(Error::General("a cipher that is not known here".to_owned())),
    }
}

/// The fixed part of a TLS 1.2 initialization vector, and what is the start of explicit nonces.
fn split_iv<'iv>(suite: &Tls12CipherSuite, iv: &'iv Iv) -> (&'iv [u8], &'iv [u8]) {
    let shape = suite.aead_alg.key_block_shape();
    let (fixed, explicit) = iv.as_ref().split_at(shape.fixed_iv_len);
    (fixed, &explicit[..shape.explicit_nonce_len])
}
