/** Failures as HTTP answers: `{error_code, error_msg}` and the status of each code. */
import type { FastifyError } from 'fastify';
import { failure, FailureError, type Failure } from '#src/base/failure.ts';
import type { FailureCode } from '#src/base/failures.ts';

const statuses: Readonly<Partial<Record<FailureCode, number>>> = {
  CONFIG_INVALID: 400,
  API_INVALID: 400,
  API_UNAUTHORIZED: 401,
  API_UNKNOWN: 404,
  CHANGEFEED_UNKNOWN: 404,
  CAPTURE_UNKNOWN: 404,
  TABLE_UNKNOWN: 404,
  CHANGEFEED_EXISTS: 409,
  CHANGEFEED_STATE: 409,
  CHANGEFEED_CHANGED: 409,
  CLUSTER_NEEDED: 409,
  TABLE_UNSPLITTABLE: 409,
  INTERNAL_FAULT: 500,
  INTERNAL_STOPPED: 503,
  COORDINATOR_ABSENT: 503,
  COORDINATOR_FAILING: 503,
  COORDINATOR_UNHEARD: 503,
};

/**
 * The HTTP status of a failure: what the ends of a changefeed refuse is 422, what coordination refuses 503, and a request
 * that cannot even be read keeps the status it was refused with.
 */
export function statusOf({ code }: Failure, error?: unknown): number {
  const given = (error as Partial<FastifyError> | undefined)?.statusCode;
  if (code === 'API_INVALID' && given !== undefined && given >= 400 && given < 500) return given;
  return statuses[code] ?? (code.startsWith('COORDINATION_') ? 503 : 422);
}

/** The failure behind whatever a route threw. */
export function failureOf(error: unknown): Failure {
  if (error instanceof FailureError) return error.failure;
  const { validation, validationContext, statusCode, message } = error as FastifyError;
  if (validation !== undefined) {
    const where = validationContext ?? 'request';
    const problems = validation.map((problem) => `${placeOf(problem, where)} ${wordsOf(problem)}`);
    return failure('API_INVALID', [...new Set(problems)].join('; '));
  }
  if (statusCode !== undefined && statusCode < 500) return failure('API_INVALID', message);
  return failure('INTERNAL_FAULT', 'the server could not answer; its log says why');
}

type Problem = NonNullable<FastifyError['validation']>[number];

function placeOf({ instancePath }: Problem, where: string): string {
  return instancePath === '' ? where : `${where}${instancePath.replaceAll('/', '.')}`;
}

function wordsOf({ keyword, params, message }: Problem): string {
  if (keyword === 'additionalProperties') {
    return `must not have "${String(params['additionalProperty'])}"`;
  }
  if (keyword === 'minLength' || keyword === 'minProperties') return 'must not be empty';
  return message ?? 'is wrong';
}
