//! The fields of a certificate (RFC 5280 §4.1) that are asked for beside what verifies it. Nothing here is trusted: whoever reads
//! has to know where the certificate is from.
#![forbid(unsafe_code)]

use std::time::SystemTime;

use super::der::{BOOLEAN, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, Reader, SEQUENCE, context};

/// A certificate, in views of its DER. Names and algorithms are the content of their SEQUENCE.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Certificate<'a> {
    pub(crate) serial: &'a [u8],
    pub(crate) issuer: &'a [u8],
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
    pub(crate) subject: &'a [u8],
    pub(crate) key: PublicKey<'a>,
    extensions: Option<&'a [u8]>,
    pub(crate) signed: Signed<'a>,
}

/// A key: what it is for, and its bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PublicKey<'a> {
    pub(crate) algorithm: &'a [u8],
    pub(crate) bits: &'a [u8],
}

/// What was signed, with a signature that nobody has verified yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signed<'a> {
    pub(crate) message: &'a [u8],
    pub(crate) algorithm: &'a [u8],
    pub(crate) signature: &'a [u8],
}

impl<'a> Certificate<'a> {
    /// `None` if it is none.
    pub(crate) fn parse(der: &'a [u8]) -> Option<Self> {
        let mut outer = Reader::new(der);
        let mut reader = outer.inner(SEQUENCE)?;
        outer.end()?;
        let signed = Signed::read(&mut reader)?;
        reader.end()?;
        let mut fields = Reader::new(signed.message).inner(SEQUENCE)?;
        let _version = fields.optional(context(0, true))?;
        let serial = fields.content(INTEGER)?;
        let _algorithm = fields.content(SEQUENCE)?;
        let issuer = fields.content(SEQUENCE)?;
        let mut validity = fields.inner(SEQUENCE)?;
        let (not_before, not_after) = (validity.time()?, validity.time()?);
        validity.end()?;
        let subject = fields.content(SEQUENCE)?;
        let key = PublicKey::parse(fields.content(SEQUENCE)?)?;
        let _issuer_id = fields.optional(context(1, false))?;
        let _subject_id = fields.optional(context(2, false))?;
        let extensions = fields.optional(context(3, true))?;
        fields.end()?;
        let extensions = match extensions {
            Some(explicit) => Some(Reader::new(explicit.content).content(SEQUENCE)?),
            None => None,
        };
        Some(Self { serial, issuer, not_before, not_after, subject, key, extensions, signed })
    }

    /// The value of an extension, by the content of its object identifier.
    pub(crate) fn extension(&self, identifier: &[u8]) -> Option<&'a [u8]> {
        let mut extensions = Reader::new(self.extensions?);
        loop {
            let mut extension = extensions.inner(SEQUENCE)?;
            let found = extension.content(OBJECT_IDENTIFIER)?;
            let _is_critical = extension.optional(BOOLEAN)?;
            if found == identifier {
                return extension.content(OCTET_STRING);
            }
        }
    }

    /// Whether it says that it may be used for this (RFC 5280 §4.2.1.12).
    pub(crate) fn has_usage(&self, identifier: &[u8]) -> bool {
        const EXTENDED_KEY_USAGE: &[u8] = &[85, 29, 37];
        let usages = self.extension(EXTENDED_KEY_USAGE);
        let Some(mut usages) = usages.and_then(|value| Reader::new(value).inner(SEQUENCE)) else {
            return false;
        };
        while let Some(usage) = usages.content(OBJECT_IDENTIFIER) {
            if usage == identifier {
                return true;
            }
        }
        false
    }
}

impl<'a> PublicKey<'a> {
    /// The key in the content of a `SubjectPublicKeyInfo`.
    pub(crate) fn parse(info: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(info);
        let (algorithm, bits) = (reader.content(SEQUENCE)?, reader.bits()?);
        reader.end()?;
        Some(Self { algorithm, bits })
    }

    /// What kind of key it is, and how many bits its strength is counted in: those of an RSA modulus or of a curve. `None` of a
    /// kind that is not known here.
    pub(crate) fn kind(&self) -> Option<(&'static str, usize)> {
        const RSA: &[u8] = &[42, 134, 72, 134, 247, 13, 1, 1, 1];
        const ELLIPTIC: &[u8] = &[42, 134, 72, 206, 61, 2, 1];
        const CURVES: [(&[u8], usize); 3] = [
            (&[42, 134, 72, 206, 61, 3, 1, 7], 256),
            (&[43, 129, 4, 0, 34], 384),
            (&[43, 129, 4, 0, 35], 521),
        ];
        const ED25519: &[u8] = &[43, 101, 112];
        let mut algorithm = Reader::new(self.algorithm);
        match algorithm.content(OBJECT_IDENTIFIER)? {
            RSA => {
                let modulus = Reader::new(self.bits).inner(SEQUENCE)?.content(INTEGER)?;
                let first = modulus.iter().position(|&byte| byte != 0)?;
                let bits = (modulus.len() - first) * 8 - modulus[first].leading_zeros() as usize;
                Some(("RSA", bits))
            }
            ELLIPTIC => {
                let curve = algorithm.content(OBJECT_IDENTIFIER)?;
                CURVES.iter().find(|(known, _)| *known == curve).map(|(_, bits)| ("ECDSA", *bits))
            }
            ED25519 => Some(("Ed25519", 256)),
            _ => None,
        }
    }
}

impl<'a> Signed<'a> {
    /// What certificates and answers of OCSP begin with: what is signed, the algorithm, the signature.
    pub(crate) fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let message = reader.value(SEQUENCE)?.whole;
        Some(Self { message, algorithm: reader.content(SEQUENCE)?, signature: reader.bits()? })
    }
}
