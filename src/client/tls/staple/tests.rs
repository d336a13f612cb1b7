//! What counts, what does not, and bytes that are no response.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SerialNumber, date_time_ymd,
};
use rustls::crypto::CryptoProvider;

use super::*;
use crate::conn::provider;

#[path = "../../../../tests/tls/ocsp.rs"]
mod ocsp;

use ocsp::{GOOD, REVOKED, Saying, UNKNOWN};

const ISSUER: &str = "An authority";
const SERIAL: u8 = 77;

/// An authority, a certificate that it has signed, and who verifies that.
struct Case {
    issuer: Issuer<'static, KeyPair>,
    own: CertificateDer<'static>,
    verifier: StapleVerifier,
}

impl Case {
    fn new(rule: OcspStaple) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, ISSUER);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(params.self_signed(&key).unwrap().der().clone()).unwrap();
        let issuer = Issuer::new(params, key);
        let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        params.serial_number = Some(SerialNumber::from(u64::from(SERIAL)));
        let own = params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().der().clone();
        let provider: Arc<CryptoProvider> = provider::find().unwrap();
        let roots = Arc::new(roots);
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider));
        let verifier = StapleVerifier {
            chain: chain.build().unwrap(),
            roots,
            rule,
            algorithms: provider.signature_verification_algorithms,
            sha256: super::super::verifier::sha256(&provider),
        };
        Self { issuer, own, verifier }
    }

    fn saying(&self, status: &'static [u8]) -> Saying<'_> {
        Saying::new(ISSUER, self.issuer.key(), SERIAL, status)
    }

    fn word(&self, staple: &[u8]) -> Word {
        self.verifier.word(&self.own, &[], staple, SystemTime::now())
    }

    fn verify(&self, staple: &[u8]) -> Result<ServerCertVerified, Error> {
        let name = ServerName::try_from("a.example").unwrap();
        self.verifier.verify_server_cert(&self.own, &[], &name, staple, UnixTime::now())
    }

    /// A certificate of another key, for answering in the authority's place.
    fn delegate(&self, change: impl FnOnce(&mut CertificateParams)) -> (KeyPair, CertificateDer<'static>) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::OcspSigning];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        (key, signed)
    }
}

#[test]
fn the_word_of_the_signer_counts() {
    let case = Case::new(OcspStaple::IfUsable);
    for by_sha256 in [false, true] {
        for (status, word) in [(GOOD, Word::Good), (REVOKED, Word::Revoked), (UNKNOWN, Word::Nothing)] {
            let saying = Saying { by_sha256, ..case.saying(status) };
            assert_eq!(case.word(&saying.sign(case.issuer.key())), word);
        }
    }
}

#[test]
fn of_several_answers_about_one_certificate_the_worst_counts() {
    let case = Case::new(OcspStaple::IfUsable);
    let word = |status, more: &[&'static [u8]]| {
        case.word(&Saying { more: more.to_vec(), ..case.saying(status) }.sign(case.issuer.key()))
    };
    assert_eq!(word(GOOD, &[REVOKED]), Word::Revoked);
    assert_eq!(word(REVOKED, &[GOOD]), Word::Revoked);
    assert_eq!(word(GOOD, &[UNKNOWN, GOOD, REVOKED]), Word::Revoked);
    assert_eq!(word(UNKNOWN, &[GOOD]), Word::Good);
    // Whoever has not signed revokes nothing.
    let stranger = KeyPair::generate().unwrap();
    let forged = Saying { more: vec![REVOKED], ..case.saying(GOOD) }.sign(&stranger);
    assert_eq!(case.word(&forged), Word::Nothing);
}

#[test]
fn an_answer_that_names_no_next_one_is_good_for_a_day() {
    const JANUARY_2024: Duration = Duration::from_secs(1_704_067_200);
    let case = Case::new(OcspStaple::IfUsable);
    let staple = Saying { next_update: None, ..case.saying(GOOD) }.sign(case.issuer.key());
    for (hours, word) in [(0, Word::Good), (23, Word::Good), (25, Word::Nothing), (9000, Word::Nothing)] {
        let now = SystemTime::UNIX_EPOCH + JANUARY_2024 + Duration::from_secs(hours * 3600);
        assert_eq!(case.verifier.word(&case.own, &[], &staple, now), word, "{hours} hours later");
    }
}

#[test]
fn what_is_old_or_of_another_certificate_says_nothing() {
    let case = Case::new(OcspStaple::IfUsable);
    let stranger = KeyPair::generate().unwrap();
    for saying in [
        Saying { next_update: Some("20240102000000Z"), ..case.saying(REVOKED) },
        Saying { this_update: "21230101000000Z", ..case.saying(REVOKED) },
        Saying { serial: SERIAL + 1, ..case.saying(REVOKED) },
        Saying { issuer: "Another", ..case.saying(REVOKED) },
        Saying { issuer_key: &stranger, ..case.saying(REVOKED) },
    ] {
        assert_eq!(case.word(&saying.sign(case.issuer.key())), Word::Nothing);
    }
    assert_eq!(case.word(&case.saying(REVOKED).sign(&stranger)), Word::Nothing);
}

#[test]
fn rfc6960_4_2_2_2_only_whom_the_signer_has_named_answers_for_it() {
    let case = Case::new(OcspStaple::IfUsable);
    let word = |(key, certificate): &(KeyPair, CertificateDer<'_>)| {
        case.word(&Saying { certificates: vec![certificate], ..case.saying(REVOKED) }.sign(key))
    };
    assert_eq!(word(&case.delegate(|_| {})), Word::Revoked);
    assert_eq!(word(&case.delegate(|params| params.extended_key_usages.clear())), Word::Nothing);
    let server = |params: &mut CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    };
    assert_eq!(word(&case.delegate(server)), Word::Nothing);
    let expired = |params: &mut CertificateParams| params.not_after = date_time_ymd(2021, 1, 1);
    assert_eq!(word(&case.delegate(expired)), Word::Nothing);
    // Another authority of the same name.
    assert_eq!(word(&Case::new(OcspStaple::IfUsable).delegate(|_| {})), Word::Nothing);
}

#[test]
fn the_rule_says_what_nothing_means() {
    let (usable, required) = (Case::new(OcspStaple::IfUsable), Case::new(OcspStaple::Required));
    let made = |case: &Case, status| case.saying(status).sign(case.issuer.key());
    assert!(usable.verify(&made(&usable, GOOD)).is_ok() && usable.verify(b"").is_ok());
    assert_eq!(usable.verify(&made(&usable, REVOKED)).unwrap_err(), CertificateError::Revoked.into());
    assert!(required.verify(&made(&required, GOOD)).is_ok());
    assert_eq!(required.verify(&made(&required, REVOKED)).unwrap_err(), CertificateError::Revoked.into());
    for nothing in [Vec::new(), b"nonsense".to_vec(), made(&required, UNKNOWN), made(&usable, GOOD)] {
        let error = required.verify(&nothing).unwrap_err();
        assert!(
            matches!(&error, Error::InvalidCertificate(CertificateError::Other(OtherError(why))) if why.is::<NoStaple>()),
            "{error:?}"
        );
    }
}

#[test]
fn what_is_no_response_says_nothing() {
    let case = Case::new(OcspStaple::IfUsable);
    let (key, certificate) = case.delegate(|_| {});
    let with_delegate = Saying { certificates: vec![&certificate], ..case.saying(GOOD) }.sign(&key);
    for good in [case.saying(GOOD).sign(case.issuer.key()), with_delegate] {
        assert_eq!(case.word(&good), Word::Good);
        for length in 0..good.len() {
            assert_eq!(case.word(&good[..length]), Word::Nothing, "of {length} bytes");
        }
        assert_eq!(case.word(&[&good[..], &[0]].concat()), Word::Nothing);
        for at in 0..good.len() {
            for bit in [1, 0x10, 0x80] {
                let mut changed = good.clone();
                changed[at] ^= bit;
                assert_eq!(case.word(&changed), Word::Nothing, "byte {at} changed by {bit}");
            }
        }
    }
    // As long as a server may send: nothing is looked at for long.
    assert_eq!(case.word(&vec![0x30; 1 << 16]), Word::Nothing);
}
