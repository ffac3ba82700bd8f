import type { HttpRequest } from '../../../internal/http/message.ts';
import { followsFromClose } from '../../../internal/writer/policy/aborts.ts';
import { channelErrors } from '../../events.ts';

const consequence =
  'The clients of the answer are told that it failed, and not why. An `onEnd` of `resumable` gets such errors.';

/** Publishes why an answer failed. @returns what warns of it if the channel has no subscriber */
export function publishFailure(req: HttpRequest, error: unknown): () => void {
  channelErrors.publish({ req, error });
  return () => channelErrors.warnIfUnheard({ req, error }, consequence);
}

/** Reports what a generator threw after it was told to stop, unless that follows from the stop. */
export function reportLateError(req: HttpRequest, error: unknown, reason: unknown): void {
  if (error !== reason && !followsFromClose(error)) channelErrors.report({ req, error });
}
