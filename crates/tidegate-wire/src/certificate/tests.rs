//! Certificates of OpenSSL 3.0.19, each from a key of its own. The key is `openssl genpkey` with
//! `-algorithm EC -pkeyopt ec_paramgen_curve:P-256`, `-algorithm RSA -pkeyopt rsa_keygen_bits:1024`,
//! `ED25519`, or `ED448`; the certificate `openssl req -x509 -subj /CN=t -days 36500 -set_serial 1
//! -outform DER` with the hash of its row, RSASSA-PSS by `-sigopt rsa_padding_mode:pss`. What is
//! expected is `openssl dgst` over the certificate, with the hash that RFC 5929 wants.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

struct Sample {
    name: &'static str,
    der: &'static str,
    /// In hexadecimal; none where there is no end point.
    expected: Option<&'static str>,
}

impl Sample {
    fn der(&self) -> Vec<u8> {
        BASE64.decode(self.der).unwrap()
    }
}

const SAMPLES: &[Sample] = &[
    Sample {
        name: "ecdsa_sha1",
        der: "MIIBADCBpwIBATAJBgcqhkjOPQQBMAwxCjAIBgNVBAMMAXQwIBcNMjYxMTI0MTgzMzA4WhgPMjEyNjEwMzEx\
              ODMzMDhaMAwxCjAIBgNVBAMMAXQwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQ7pE65BiFJYO+ug9+GTI4i\
              sbShLZqQ47ddgoyOAUIdCTPK6wPGhKCBA95L9JcKPL3ru6z1k9U5k1fzI2MIBDDwMAkGByqGSM49BAEDSQAw\
              RgIhAJj1XXURhHB7BKVTUrnAcuzky3bo+xHyXrOz3lmLo7tSAiEAls+zY88jmfpYa8FPtjLcIoyjbIG2F6Ab\
              zQIsPlCaH9o=",
        expected: Some("9127db7084dd2e8227e196d7be7a88f23b9968e877617a09bbb098001cfbb019"),
    },
    Sample {
        name: "ecdsa_sha256",
        der: "MIIBAjCBqAIBATAKBggqhkjOPQQDAjAMMQowCAYDVQQDDAF0MCAXDTI2MTEyNDE4MzMwOFoYDzIxMjYxMDMx\
              MTgzMzA4WjAMMQowCAYDVQQDDAF0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEcPNfPU81cdZDLO/71bCf\
              XIl8o5d49wOIacaphKN3/5t+fGg59pH+MtGFyH3Uv58J4NCt4oxCRVAsilYx3BIw+jAKBggqhkjOPQQDAgNJ\
              ADBGAiEA6tGG8ZoVELpC+ZY2hhwCMKY/vHp0ac+azhs4+ogQtEYCIQCVpz2prL5FNwP8xFaoTMxtOIQakxsg\
              ai/l6XbIcx/BGw==",
        expected: Some("6ffb52b28eb33a59031327c66170e2a01a774f9203256ad7746f257e837733f5"),
    },
    Sample {
        name: "ecdsa_sha384",
        der: "MIIBADCBqAIBATAKBggqhkjOPQQDAzAMMQowCAYDVQQDDAF0MCAXDTI2MTEyNDE4MzMwOFoYDzIxMjYxMDMx\
              MTgzMzA4WjAMMQowCAYDVQQDDAF0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEB1veP4YZNKQ4cf1LtfjU\
              F7USWLChLHNacB9UTVW/tD5Jm90FwnFqoKfKYd4ZtWvj9ln4WlIAzyAxvne8BpywWzAKBggqhkjOPQQDAwNH\
              ADBEAiATbGp/HezF7K5m4C9nrN3MIfKBpiyWL/YDn0HINt85wAIgXTh6DxF2/GkJRzZrBv+odqoMQWmMrNoF\
              ywkvxgiBnZY=",
        expected: Some(
            "3a15bb50802acb2ebb6867a2fdc85a4744ef2d490077e48f2eeed5ee0a2793bbc52c8569ab83c37a1404\
             73617b18fb28",
        ),
    },
    Sample {
        name: "ecdsa_sha512",
        der: "MIIBAjCBqAIBATAKBggqhkjOPQQDBDAMMQowCAYDVQQDDAF0MCAXDTI2MTEyNDE4MzMwOFoYDzIxMjYxMDMx\
              MTgzMzA4WjAMMQowCAYDVQQDDAF0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEimHnoja3VpqxbWOb+OtF\
              btY32ypKbdfPEb0LY3NvxogiVFgr4TVbJqLVhwNuY1KTHF/J5IgnbzJf7YPa6KgZuDAKBggqhkjOPQQDBANJ\
              ADBGAiEA30t5Hfjj5UNq65pGYlk+0BLbcvuHVi77UZ10UQGx3D4CIQC6+rVRz2rf5J0+fw64fXEPhhPgF/zx\
              jb/dZ0YX34a3pA==",
        expected: Some(
            "78e377f2ba5632f17ce3e8ef1baf84b4e5f566b29ef0f73cd0db1f5a895b6241d4e5eefa68ecd1b1755d\
             c806e991aea4b9501eb919065ea816cef6e8bb3ccaf8",
        ),
    },
    Sample {
        name: "rsa_md5",
        der: "MIIBiDCB8gIBATANBgkqhkiG9w0BAQQFADAMMQowCAYDVQQDDAF0MCAXDTI2MTEyNDE4MzMwOFoYDzIxMjYx\
              MDMxMTgzMzA4WjAMMQowCAYDVQQDDAF0MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCuzsuWQ1i9Z/va\
              LS4q8+QjUirruVyvEveXO4aUIvIIDqUAcQiOFzTqFY6nqYp0jXpJn22tpG17ItwLC3fIBf6j59XM8syjUn2W\
              lK0n/he0Wr1QXWpwAkDfnWeiSRZC46IAMqFS7S2MsCIMQl+WfBYAegrkzUBVq0GykAmv+5ps/wIDAQABMA0G\
              CSqGSIb3DQEBBAUAA4GBAB4r5qqMEah8NTjbO7Ti5NPx9nB4lIjyepMlvyZnYIWXpiMueWGGaqShraV6om1G\
              QmifKHHRQHiVQ0ZWH7zHKMdtXEGWZtRJwdrf836Ii+qsuqoNqGv2Uun5M7SFRA69I6TD2+ur2CUta3SF3GUG\
              BH06RkL7fErQ7HDFKSOTTNZ2",
        expected: Some("57eca601b0a974a5d1c23abdb5a082b1fc0e06372e9bd6e8725a83b2d22e2a2e"),
    },
    Sample {
        name: "rsa_sha1",
        der: "MIIBiDCB8gIBATANBgkqhkiG9w0BAQUFADAMMQowCAYDVQQDDAF0MCAXDTI2MTEyNDE4MzMwOFoYDzIxMjYx\
              MDMxMTgzMzA4WjAMMQowCAYDVQQDDAF0MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDIR+rY+nZ/Y/40\
              z7gEjHvF8X5X+zOLMpLtJNlalluib5jYftu/MO5EWvxDZEY4D5bQkopc53o23+GMoWyltLwo3Xhcxby0rEbx\
              A812wHXKmmQKqMHSqc3iExdmTeh62GqR32MfsemdVFRCcZSXOh4TVg+Em/4mLoItmxKsQ1PrmQIDAQABMA0G\
              CSqGSIb3DQEBBQUAA4GBAJtd0lRkcgOkejpO5ZJ91D2gaH2xg+TuuHJuN+IVrpu41yO9r+WEN0Qp8d2PPBTe\
              PEt/asTirGxJ6ZcQQMBJ6rBMjppr6zDJkbzUpi5w2kjTPZwKHH/aiRbTsP8oUNfgPPWAv3emNC0fzINOW4Ic\
              fo4UexVqi48WXFDvDca8yanW",
        expected: Some("5bafdc0fdcf9a4a69bfcda5a741a92d0f52f28a2e529f3361e2889fedbff8474"),
    },
    Sample {
        name: "rsa_sha256",
        der: "MIIBiDCB8gIBATANBgkqhkiG9w0BAQsFADAMMQowCAYDVQQDDAF0MCAXDTI2MTEyNDE4MzMwOFoYDzIxMjYx\
              MDMxMTgzMzA4WjAMMQowCAYDVQQDDAF0MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC6y+72ZbyqpgRq\
              Aw3OLrqg0H09h/SHhAJ9revyEK0OLbXMWs5NOttPLL05isZ50X6RQH13iVc7pjmJqN/h0D0d7VNIgRb02dZw\
              PIHw/4VPta0QTqemtpb+qX+10PNmNyMrCtR2V4P3ai3NrtjDqePKdtolFQgK1b6GzXSUT9YUswIDAQABMA0G\
              CSqGSIb3DQEBCwUAA4GBAJbdapOsRxV+H07AtRf6fpf7lIgYVsOZEGXkqPtiOL8WQUrgS5XRXH0k1hhZnRkF\
              bRa91yMLjTcev/dRE6sOKnb0vSXK/QIny6qfu12fFPQRxBVYAc7+hZXzrQm/Zr3TY6vwVuQjdXaU2ZeWLXt1\
              dY/cXX1RyHXw3et0K3wRbbNm",
        expected: Some("be5491e1a8bb4bca023013f1a4f302ddfa1b098d6eb2a3224296fdb1babf4599"),
    },
    Sample {
        name: "rsa_sha384",
        der: "MIIBiDCB8gIBATANBgkqhkiG9w0BAQwFADAMMQowCAYDVQQDDAF0MCAXDTI2MTEyNDE4MzMwOFoYDzIxMjYx\
              MDMxMTgzMzA4WjAMMQowCAYDVQQDDAF0MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC/8tPJdGgahOno\
              3LMKIWmwbetfgtgF/mUgjtZ9FgOlAwIchpVpX5+UOpb2kgW/KgBdquQb1QvoiV/lSvSOMb59lW22MYLinTk5\
              VQfcA0blBH4t8DD/2SWtLSAR0iYp6a90bCNxbCiyyIC14YRx3ZKwK0BRM6A+6odpY9JBbBZqnQIDAQABMA0G\
              CSqGSIb3DQEBDAUAA4GBAInTUfZxxTAYN9XHFTz8iFJ2HSyXEX3SO+eEF0nA7jGex0Ar1heiRlUHpQP/lPOg\
              ZushNiZzawR/2A+xTfvWhdY5HSV2NWcWNyTU0hSqEq8J7UUTlbhC3QC2aRvACEh52Vy0mee0wOrAYh3LWen8\
              dbz+tL+jnfs0TzUl9g7xNtO3",
        expected: Some(
            "2b28a683038897edfa1153f168ea88f40f6356f5613077f8bd805b0629ce30447ef070b4b4112ef7dc92\
             3df6ef6e4e7c",
        ),
    },
    Sample {
        name: "rsa_sha512",
        der: "MIIBiDCB8gIBATANBgkqhkiG9w0BAQ0FADAMMQowCAYDVQQDDAF0MCAXDTI2MTEyNDE4MzMwOFoYDzIxMjYx\
              MDMxMTgzMzA4WjAMMQowCAYDVQQDDAF0MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkK6Y/x2O916vi\
              IEQzou7FzIbvZHow/jmsCY9QZZNKrf6FYsNJsuL0ZvzIdEgjnfveL+MGh0l13MT3UqNlCuV3plCm8OwWACII\
              6NYNrbtWUX5ZVQ9rSvfBfyKY5YvAYclvE6rMVDLv4LJjqd3cMNqsduL0GYZXn/jo21rNnvkhpQIDAQABMA0G\
              CSqGSIb3DQEBDQUAA4GBAEl4JYf4BF7ZzTonJ7zqvFl+VP23DRqMqQJPEIaq/0if7eKvtQzpan9e889xnOmy\
              BxcZ/hdYzuyLlMxcwfMj1XTLQFRh6Ux73f5XlHgkbud9aiHLLN838Xo1e7lRZueSd1towomLyk0pFcmSBYrr\
              RJIB3snBclLYO6Zft/cThFE0",
        expected: Some(
            "123de5ba832ab39deae792be9d0f97d9949c52413f678aab737943aef27b386c0ce44a1c6a97ac472e2a\
             cb29175a9d5ccbcc56504eba60b9ee04cbfdfb07927f",
        ),
    },
    Sample {
        name: "pss_sha1",
        der: "MIIBiDCB8gIBATANBgkqhkiG9w0BAQowADAMMQowCAYDVQQDDAF0MCAXDTI2MTEyNDE4MzMwOFoYDzIxMjYx\
              MDMxMTgzMzA4WjAMMQowCAYDVQQDDAF0MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC6nEmYuWbv7TV3\
              Vb2ql/AstqrPxb6A8wZmObFlDS4nsQOMo/QB5+fXKtJv+Vchse8wg8lHHeCaeRSSorEpe29j5ddUBiy++auQ\
              E8bWUHjhMzgrTmniDvN9VpJJASd+KstEzn8BuNa5/vQ6Ck57Qjaxmmk3qEEMvd8cUKLa/GwiLQIDAQABMA0G\
              CSqGSIb3DQEBCjAAA4GBAJ1MVH1kznS0hlb3ZzcmAEn5IHtoxm6q9YDS4Q1TKHK/kfULHzrB4s11+j6Uck3W\
              vl3LtVVDOPpSoFoQma72qrahD4ZpDPNj8gh1xdBHQ426/hgXKfvbXCITEwV+3i0Ix1ivm9bcQ6kuReha5bHY\
              NoPEbiMfXerDE+NXBt6VH8x8",
        expected: Some("b9995e463bbbd6d2705b9946c9553761ef782d595db4b25d0bed15819ebea0a8"),
    },
    Sample {
        name: "pss_sha256",
        der: "MIIB8TCCASYCAQEwQQYJKoZIhvcNAQEKMDSgDzANBglghkgBZQMEAgEFAKEcMBoGCSqGSIb3DQEBCDANBglg\
              hkgBZQMEAgEFAKIDAgEgMAwxCjAIBgNVBAMMAXQwIBcNMjYxMTI0MTgzMzA4WhgPMjEyNjEwMzExODMzMDha\
              MAwxCjAIBgNVBAMMAXQwgZ8wDQYJKoZIhvcNAQEBBQADgY0AMIGJAoGBAMpHH50gbCl6KMPjS+VpY7Cztq47\
              Z7MyvLldEkXEssl766yuNJbMxi1NzXXv0B7p1zxzTjXmhHsMW9+kiOJim4F9d3bdKt/YmWDi2IrOLSQ5fRcX\
              huqqa65Xj7iva0cdMhOE7UR44BiplWWnn7Xy0q/WXcSXlLV4oGNj9sq0yKJvAgMBAAEwQQYJKoZIhvcNAQEK\
              MDSgDzANBglghkgBZQMEAgEFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgEFAKIDAgEgA4GBALVWmykY\
              g/Yh3zb+QLRGsGujPhXdNg5xlF2aDeGp1Oepr7R1D3Nvmq/nNGYDjiXIScmhlJnFIifaLlrY+dSstdFOaPY5\
              xk+EbwnHSyt7GuR8T2xuaQgPvkyLLpwsEbFTnbeptLpshdOOoTP7OiRCyBmOV089MSTI08lkgmeanUtW",
        expected: Some("b0f62b4c07356d825031ac705bcb5727c7c7a679166de8e4344fb711bc4a68ac"),
    },
    Sample {
        name: "pss_sha384",
        der: "MIIB8TCCASYCAQEwQQYJKoZIhvcNAQEKMDSgDzANBglghkgBZQMEAgIFAKEcMBoGCSqGSIb3DQEBCDANBglg\
              hkgBZQMEAgIFAKIDAgEwMAwxCjAIBgNVBAMMAXQwIBcNMjYxMTI0MTgzMzA4WhgPMjEyNjEwMzExODMzMDha\
              MAwxCjAIBgNVBAMMAXQwgZ8wDQYJKoZIhvcNAQEBBQADgY0AMIGJAoGBANxCeDpAUwWyAFpsBY+W49kCiaSN\
              uyp2xQSCV6ip520QEPnsbJMxfmYKYck50k3ylPGUlParofjIOwX5GJqSn9HgGHowpjvCW/fVeMHWI7VAly/H\
              mPeXF1c4wptLAfIR3785TS0gpS0rAG4UWZwqqbxHaPP3d4v59nfDOprpD9ypAgMBAAEwQQYJKoZIhvcNAQEK\
              MDSgDzANBglghkgBZQMEAgIFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgIFAKIDAgEwA4GBALcuVAWg\
              DwLF+sX++9AjX1zDyNXl/ak+Vy0rr3InH2p7oj24DMDh4YBASiS6BE+172M4rJGoFkbcVO0OIS1zP+A+A+Qx\
              NN4sTXN4o46D2DjoojRS3YhuQcPA3gKiuE9nlujziE1gQm7OpjUJ+M/iTF8PyuDF75hmdewdQm0MQKkC",
        expected: Some(
            "012b633857672066372c635a0f962e32b4fdeb27b8cce3eba502bea1b7779f902577e74c9bec5059cefd\
             3f0acd757053",
        ),
    },
    Sample {
        name: "pss_sha512",
        der: "MIIB8TCCASYCAQEwQQYJKoZIhvcNAQEKMDSgDzANBglghkgBZQMEAgMFAKEcMBoGCSqGSIb3DQEBCDANBglg\
              hkgBZQMEAgMFAKIDAgEgMAwxCjAIBgNVBAMMAXQwIBcNMjYxMTI0MTgzMzA4WhgPMjEyNjEwMzExODMzMDha\
              MAwxCjAIBgNVBAMMAXQwgZ8wDQYJKoZIhvcNAQEBBQADgY0AMIGJAoGBAMQCYP3K6vxYb8ZlH9S3reEZi6RH\
              oDtsRkWzyf3MT8Sux0Az0ITC0AeH4fFNe9AmFf0OpZCMl+g2eu3AO2sXgMKBw6sZaaPgUVvsBKm8GDKqRNFh\
              XnylMMCZW0rlwQ7koiG1dVQKC+kB92UcU8ssGkDuVVwtI0EQMMhSBQFkXUnlAgMBAAEwQQYJKoZIhvcNAQEK\
              MDSgDzANBglghkgBZQMEAgMFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgMFAKIDAgEgA4GBACKJNsV1\
              WLEZkTQeOAT99UTCphpG9C+Gv8+RH1rl5By9K436RRMnMNjm8kHFZZxE36thFNwJjaIhO3ldCYkRFsjOjrbQ\
              GNuKZXJO2kCa7/5U1MffpU/QMli8kqu6F2zZhUrVWOF7DS22a4ZupceDOh+ikk9f8+I61UqZZlDCD9zg",
        expected: Some(
            "55c1c1018731bdb07d8f49d0ecc162af38e32ca0239ffbd8ea50217b7e35035b0e714f57ce70afbfb626\
             b97fdb09b49975964286f16db45eb86f79fca8b62484",
        ),
    },
    Sample {
        name: "ecdsa_sha224",
        der: "MIIBATCBqAIBATAKBggqhkjOPQQDATAMMQowCAYDVQQDDAF0MCAXDTI2MTEyNDE4MzMwOFoYDzIxMjYxMDMx\
              MTgzMzA4WjAMMQowCAYDVQQDDAF0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAESxbKRIHKec4K/lnxystg\
              7gNVf4J9+QLjCqfdsVFyzX6gOOgWXbNSCJl9xifz+cfQs+0NFWW4a8MsacVK3DYOGzAKBggqhkjOPQQDAQNI\
              ADBFAiEApeJZPA+loVgJNmy92MydRS+/VmpTZ8wwz3tczDVpO0oCIErx+TtzRTjcGzln3p3C0lFXjheTwtoC\
              5rtGUbX0bTPi",
        expected: None,
    },
    Sample {
        name: "ed25519",
        der: "MIHAMHQCAQEwBQYDK2VwMAwxCjAIBgNVBAMMAXQwIBcNMjYxMTI0MTgzMzA4WhgPMjEyNjEwMzExODMzMDha\
              MAwxCjAIBgNVBAMMAXQwKjAFBgMrZXADIQAgYCkEY1UAbaVeY8gLO6Gp1kFm7fFfPjzE2eDUzyRG9zAFBgMr\
              ZXADQQBk/y24afLGD9CMelAXORXuEB360IEjBtUt+guTIEzZJZGBvX5moxbfrM9Y2vwVfRKEt27ODuOVpIsi\
              6U/hiDEF",
        expected: None,
    },
    Sample {
        name: "ed448",
        der: "MIIBDDCBjQIBATAFBgMrZXEwDDEKMAgGA1UEAwwBdDAgFw0yNjExMjQxODMzMDhaGA8yMTI2MTAzMTE4MzMw\
              OFowDDEKMAgGA1UEAwwBdDBDMAUGAytlcQM6AHJ874jJD3aTmcr/sSZWpOUHDpiVaTFnzvH8Ffv5Y3OJfv77\
              zOlSZ5tC5s+l5cIycvgXGL6T+ENjADAFBgMrZXEDcwBF0Y6yee1rTDEItePZK9t1X7qf7iE9kDbc4JmJVeBL\
              M9cJ9ooROJioFtur4em1ADz5foZgb7Auh4ArkmPSbJsd7eNAjEkmSGoFUZ9zBzLRMaXBcA52a/mYuWDuPMnQ\
              xmh9UxmGMIjPysnP5Z9r5zV7HgA=",
        expected: None,
    },
];

#[test]
fn the_end_point_is_the_hash_that_openssl_computes() {
    for sample in SAMPLES {
        let found = end_point(&sample.der());
        let expected = sample.expected.map(|hash| format!("EndPoint({hash})"));
        assert_eq!(found.map(|found| format!("{found:?}")), expected, "{}", sample.name);
    }
}

#[test]
fn what_is_cut_lengthened_or_no_certificate_has_no_end_point() {
    for sample in SAMPLES {
        let der = sample.der();
        for cut in 0..der.len() {
            assert_eq!(end_point(&der[..cut]), None, "{} cut at {cut}", sample.name);
        }
        assert_eq!(end_point(&[&der[..], &[0]].concat()), None, "{}", sample.name);
    }
    for other in [&b""[..], b"\x30\x00", b"\x31\x00", b"-----BEGIN CERTIFICATE-----"] {
        assert_eq!(end_point(other), None, "{other:?}");
    }
}

#[test]
fn no_broken_byte_makes_it_panic() {
    for sample in SAMPLES {
        let der = sample.der();
        for at in 0..der.len() {
            for bit in 0..8 {
                let mut broken = der.clone();
                broken[at] ^= 1 << bit;
                let _ = validity::validity(&broken);
                // What still reads as a certificate has another hash.
                assert!(end_point(&broken) != end_point(&der) || end_point(&der).is_none());
            }
        }
    }
}

#[test]
fn only_the_shortest_form_of_a_length_is_read() {
    let long = |header: &[u8], count: usize| [header, &vec![7; count]].concat();
    let content = |bytes: &[u8]| Der::new(bytes).take(0x04).map(<[u8]>::len);
    assert_eq!(content(b"\x04\x00"), Some(0));
    assert_eq!(content(&long(b"\x04\x7f", 0x7f)), Some(0x7f));
    assert_eq!(content(&long(b"\x04\x81\x80", 0x80)), Some(0x80));
    assert_eq!(content(&long(b"\x04\x82\x01\x00", 0x100)), Some(0x100));
    assert_eq!(content(&long(b"\x04\x83\x01\x00\x00", 0x1_0000)), Some(0x1_0000));
    assert_eq!(content(&long(b"\x04\x81\x7f", 0x7f)), None, "one byte would do");
    assert_eq!(content(&long(b"\x04\x82\x00\x80", 0x80)), None, "a leading zero");
    assert_eq!(content(&long(b"\x04\x80", 2)), None, "no indefinite lengths in DER");
    assert_eq!(content(&long(b"\x04\x84\x01\x00\x00\x00", 9)), None, "too long");
    assert_eq!(content(b"\x05\x00"), None, "another tag");
    assert_eq!(content(b"\x04\x01"), None, "cut");
}

#[test]
fn the_time_of_each_certificate_is_found() {
    for sample in SAMPLES {
        let found = validity::validity(&sample.der()).unwrap_or_else(|| panic!("{}", sample.name));
        let days = (found.until.0 - found.from.0) / (24 * 60 * 60);
        assert_eq!((days, &found.from.to_string()[..8]), (36_500, "2026-11-"), "{}", sample.name);
    }
    let whole = SAMPLES[0].der();
    for length in 0..whole.len() {
        assert_eq!(validity::validity(&whole[..length]), None, "cut to {length} bytes");
    }
}
