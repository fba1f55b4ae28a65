from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tocsin_schemas.certificate import read_own

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def written(folder: Path, leaf: trustme.LeafCert) -> tuple[str, str]:
    leaf.private_key_pem.write_to_path(folder / "own.key")
    (folder / "own.crt").write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    return str(folder / "own.crt"), str(folder / "own.key")


@pytest.mark.parametrize("until", [datetime(2026, 1, 31, tzinfo=UTC), datetime(2990, 1, 31, tzinfo=UTC)])
def test_a_certificate_of_ours_is_read_whether_it_is_valid_or_not(tmp_path: Path, until: datetime) -> None:
    own = read_own(*written(tmp_path, trustme.CA().issue_cert("edge-042", not_after=until)))
    assert (own.names, own.valid_until) == (("edge-042",), until)
    assert own.issuer.startswith("Testing CA")
    assert own.expires_soon(NOW) == (until < NOW)


def test_one_that_is_for_clients_only_is_read_and_called_by_its_common_name(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "edge-042")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tocsin CA")]))
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=3))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    (tmp_path / "own.crt").write_bytes(made.public_bytes(Encoding.PEM))
    (tmp_path / "own.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    own = read_own(str(tmp_path / "own.crt"), str(tmp_path / "own.key"))
    assert (own.name, own.issuer, own.valid_until) == ("edge-042", "tocsin CA", NOW + timedelta(days=3))


def test_what_does_not_belong_together_is_an_error(tmp_path: Path) -> None:
    cert_file, key_file = written(tmp_path, trustme.CA().issue_cert("edge-042"))
    trustme.CA().issue_cert("edge-042").private_key_pem.write_to_path(key_file)
    with pytest.raises(OSError, match="KEY_VALUES_MISMATCH"):
        read_own(cert_file, key_file)
    (tmp_path / "own.crt").write_text("nothing")
    with pytest.raises(ValueError, match="no certificate in PEM form"):
        read_own(cert_file, key_file)
