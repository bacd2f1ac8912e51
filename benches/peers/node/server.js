// The gateway's call for a batch as a Node.js service of the usual shape: fastify, JSON Schema,
// librdkafka. Each event is a record with its organization as the key and JSON as the value, and
// 202 is answered when all in-sync replicas have all of them. PORT, TOPIC, KAFKA_BROKERS and
// JWT_SECRET are in the environment.

import { randomUUID } from 'node:crypto';
import jwt from '@fastify/jwt';
import kafka from '@confluentinc/kafka-javascript';
import Fastify from 'fastify';
import { batch } from './schema.js';

const LISTS = [
  ['command_executions', 'command_execution'],
  ['agent_interactions', 'agent_interaction'],
  ['productivity_metrics', 'productivity_metric'],
  ['user_sessions', 'user_session'],
];

const { KAFKA_BROKERS, JWT_SECRET, PORT, TOPIC } = process.env;

// As our own gateway has them.
const producer = new kafka.KafkaJS.Kafka({}).producer({
  'bootstrap.servers': KAFKA_BROKERS,
  acks: -1,
  'enable.idempotence': true,
  'compression.type': 'lz4',
  'linger.ms': 5,
});
await producer.connect();

const app = Fastify({
  bodyLimit: 10 * 1024 * 1024,
  // Unknown fields and other types are refused, and not removed or converted.
  ajv: { customOptions: { removeAdditional: false, coerceTypes: false, useDefaults: false } },
});
app.register(jwt, {
  secret: JWT_SECRET,
  verify: { allowedIss: 'flowmeter', allowedAud: 'flowmeter', algorithms: ['HS256'] },
});

app.get('/health/ready', async () => ({ status: 'up' }));

app.post(
  '/api/metrics/batch',
  { onRequest: (request) => request.jwtVerify(), schema: { body: batch } },
  async (request, reply) => {
    const { organization_id } = request.user;
    const now = new Date().toISOString();
    const messages = [];
    const results = [];
    for (const [list, kind] of LISTS) {
      for (const [index, event] of (request.body[list] ?? []).entries()) {
        const event_id = event.event_id ?? randomUUID();
        const record = { timestamp: request.body.timestamp ?? now, ...event, event_id };
        const value = JSON.stringify({ ...record, organization_id, event_kind: kind });
        messages.push({ key: organization_id, value });
        results.push({ index, kind, event_id, status: 'accepted' });
      }
    }
    await producer.send({ topic: TOPIC, messages });
    reply.code(202);
    return { accepted: messages.length, rejected: 0, results };
  },
);

await app.listen({ host: '127.0.0.1', port: Number(PORT) });
