"""What SQS answers, as errors of ours that name the queue.

Codes: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore import exceptions as boto

from portal import errors
from portal.errors import PortalError
from portal.stores.s3_answers import ended
from portal.stores.s3_errors import NO_CREDENTIALS, UNREACHABLE, Answer, status_of

_MISSING = {"NonExistentQueue", "QueueDoesNotExist", "ResourceNotFoundException", "QueueDoesNotExistException"}
_WRONG_KEYS = {"InvalidClientTokenId", "SignatureDoesNotMatch", "UnrecognizedClientException", "InvalidAccessKeyId", "IncompleteSignature",
               "InvalidSecurity", "MissingAuthenticationToken", "AuthFailure"}  # fmt: skip
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_DENIED = {"AccessDenied", "AccessDeniedException", "NotAuthorized", "OptInRequired", "InvalidAddress", "403"}
_KEY_DENIED = {"KmsAccessDenied", "KmsDisabled", "KmsInvalidKeyUsage", "KmsInvalidState", "KmsNotFound", "KmsOptInRequired"}
_SLOW = {"Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "OverLimit", "KmsThrottled", "TooManyRequests", "429"}
_LATER = {"QueueDeletedRecently", "QueueDeletedRecentlyException", "InternalFailure", "InternalError", "ServiceUnavailable"}
_SERVER_ERROR = 500
CREATE_HINT = "Check its name, region and account; or create it: allow that where a job offers to, or with `aws sqs create-queue`."


class NoQueue(errors.NotFound):
    """There is no such queue."""


class CredentialsEnded(errors.AccessDenied):
    """The temporary credentials have ended."""


@contextmanager
def translated(what: str, queue: str, *, expires_at: str = "") -> Iterator[None]:
    """Turn what botocore raises inside into a PortalError that says `what` (e.g. "Sending to") failed with which queue.

    Raises:
        NoQueue, CredentialsEnded, AccessDenied, Throttled, Unreachable, NameNotAllowed, StoreError
    """
    try:
        yield
    except boto.ClientError as error:
        raise _refusal(error, what, queue, expires_at) from Answer(error, "SQS")
    except (*NO_CREDENTIALS, *UNREACHABLE, boto.ParamValidationError, boto.BotoCoreError) as error:
        raise _of_client(error, what, queue) from error


def _refusal(error: boto.ClientError, what: str, queue: str, expires_at: str) -> PortalError:
    told = error.response.get("Error", {})
    codes = {str(told.get("Code", "")).rpartition(".")[2], str(told.get("QueryErrorCode", "")).rpartition(".")[2]}
    failed = f"{what} the queue {queue!r}"
    if codes & _MISSING:
        return NoQueue(f"There is no queue {queue!r}.", hint=CREATE_HINT)
    if codes & _EXPIRED:
        return CredentialsEnded(ended(expires_at), hint="Get new ones and submit the job again.")
    if codes & _WRONG_KEYS:
        return errors.AccessDenied(f"{failed} was refused: the credentials are wrong.", hint="Check access key, secret key and session token.")
    if codes & _DENIED:
        return errors.AccessDenied(f"{failed} is not allowed with these credentials.", hint="Ask for the permission, or use another connection.")
    if codes & _KEY_DENIED:
        return errors.AccessDenied(f"{failed} failed: the key that encrypts its messages cannot be used.", hint="Ask for kms:Decrypt and "
                                   "kms:GenerateDataKey on the queue's key, and whether the key is enabled.")  # fmt: skip
    if codes & _SLOW:
        return errors.Throttled(f"{failed} failed for now: SQS asks to slow down, or too many messages are in flight.", hint="Try again later.")
    if codes & _LATER or status_of(error) >= _SERVER_ERROR:
        return errors.Unreachable(f"{failed} failed for now.", hint="Try again later; a queue can be made anew a minute after it was deleted.")
    return errors.StoreError(f"{failed} failed.")


def _of_client(error: Exception, what: str, queue: str) -> PortalError:
    failed = f"{what} the queue {queue!r}"
    if isinstance(error, NO_CREDENTIALS):
        return errors.AccessDenied(
            f"{failed} needs credentials, and there are none.",
            hint="Put AWS_ACCESS_KEY_ID=… and AWS_SECRET_ACCESS_KEY=… into .env (or fill in the connection that the job names), "
            "or sign in with the AWS CLI.",
        )
    if isinstance(error, UNREACHABLE):
        return errors.Unreachable(f"{failed} failed: the service did not answer.", hint="Check endpoint, network and proxy: it must lead to SQS too.")
    if isinstance(error, boto.ParamValidationError):
        return errors.NameNotAllowed(f"{queue!r} cannot be the name of a queue.")
    return errors.StoreError(f"{failed} failed.")
