// The roles of Preklic in MongoDB, and a user for each entry of PREKLIC_USERS (a JSON file of user to password).
// Made by `preklic topology roles`; do not edit. Run as an administrator, as often as you like:
//   PREKLIC_USERS=/run/secrets/users.json mongosh "$ADMIN_URL" roles.js
const admin = db.getSiblingDB("admin");
const roles = [
 {
  "createRole": "preklic_send",
  "privileges": [
   {
    "resource": {
     "db": "preklic",
     "collection": "ages"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "askings"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "controls"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "copies"
    },
    "actions": [
     "insert"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "holders"
    },
    "actions": [
     "find",
     "insert",
     "update",
     "remove"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "intents"
    },
    "actions": [
     "insert"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "leases"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "marks"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "messages"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "persons"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "schedule"
    },
    "actions": [
     "find",
     "insert",
     "update",
     "remove"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "standing"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "versions"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "withdrawals"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic_keys",
     "collection": "keys"
    },
    "actions": [
     "find",
     "insert"
    ]
   }
  ],
  "roles": []
 },
 {
  "createRole": "preklic_track",
  "privileges": [
   {
    "resource": {
     "db": "preklic",
     "collection": "ages"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "batches"
    },
    "actions": [
     "insert"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "controls"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "events"
    },
    "actions": [
     "find",
     "insert",
     "remove"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "messages"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "persons"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "standing"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "versions"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "withdrawals"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   }
  ],
  "roles": []
 },
 {
  "createRole": "preklic_revoke",
  "privileges": [
   {
    "resource": {
     "db": "preklic",
     "collection": "acts"
    },
    "actions": [
     "insert"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "ages"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "controls"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "dead"
    },
    "actions": [
     "find",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "events"
    },
    "actions": [
     "find",
     "remove"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "marks"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "messages"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "permissions"
    },
    "actions": [
     "find",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "persons"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "schedule"
    },
    "actions": [
     "find",
     "update",
     "remove"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "standing"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "versions"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "withdrawals"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic_keys",
     "collection": "keys"
    },
    "actions": [
     "find",
     "insert",
     "remove"
    ]
   }
  ],
  "roles": []
 },
 {
  "createRole": "preklic_record",
  "privileges": [
   {
    "resource": {
     "db": "preklic",
     "collection": "ages"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "askings"
    },
    "actions": [
     "find",
     "remove"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "controls"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "holders"
    },
    "actions": [
     "find",
     "insert",
     "update",
     "remove"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "messages"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "permissions"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "persons"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "schedule"
    },
    "actions": [
     "find",
     "insert"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "standing"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "versions"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "withdrawals"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "wordings"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic_keys",
     "collection": "keys"
    },
    "actions": [
     "find",
     "insert",
     "remove"
    ]
   }
  ],
  "roles": []
 },
 {
  "createRole": "preklic_answer",
  "privileges": [
   {
    "resource": {
     "db": "preklic",
     "collection": "acts"
    },
    "actions": [
     "insert"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "ages"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "campaigns"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "controls"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "messages"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "persons"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "schedule"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "standing"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "statistics"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "versions"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "withdrawals"
    },
    "actions": [
     "find"
    ]
   }
  ],
  "roles": []
 },
 {
  "createRole": "preklic_campaign",
  "privileges": [
   {
    "resource": {
     "db": "preklic",
     "collection": "acts"
    },
    "actions": [
     "insert"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "ages"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "campaigns"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "controls"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "holders"
    },
    "actions": [
     "find",
     "insert",
     "update",
     "remove"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "messages"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "persons"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "schedule"
    },
    "actions": [
     "find",
     "insert",
     "update",
     "remove"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "standing"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "versions"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic_keys",
     "collection": "keys"
    },
    "actions": [
     "find"
    ]
   }
  ],
  "roles": []
 },
 {
  "createRole": "preklic_webhook",
  "privileges": [
   {
    "resource": {
     "db": "preklic",
     "collection": "acts"
    },
    "actions": [
     "insert"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "ages"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "controls"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "messages"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "standing"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "versions"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "webhook_failures"
    },
    "actions": [
     "find",
     "insert",
     "update",
     "remove"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "webhooks"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   }
  ],
  "roles": []
 },
 {
  "createRole": "preklic_ledger",
  "privileges": [
   {
    "resource": {
     "db": "preklic",
     "collection": "acts"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "batches"
    },
    "actions": [
     "find",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "checkpoints"
    },
    "actions": [
     "find",
     "insert"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "controls"
    },
    "actions": [
     "find",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "copies"
    },
    "actions": [
     "find",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "cosignatures"
    },
    "actions": [
     "find",
     "insert"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "holders"
    },
    "actions": [
     "find",
     "insert",
     "update",
     "remove"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "intents"
    },
    "actions": [
     "find",
     "update",
     "remove"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "ledger"
    },
    "actions": [
     "find",
     "insert"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "messages"
    },
    "actions": [
     "find",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "operators"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "permissions"
    },
    "actions": [
     "find",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "persons"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "stamps"
    },
    "actions": [
     "find",
     "insert"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "standing"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "versions"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "withdrawals"
    },
    "actions": [
     "find",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic_keys",
     "collection": "keys"
    },
    "actions": [
     "find",
     "insert",
     "remove"
    ]
   }
  ],
  "roles": []
 },
 {
  "createRole": "preklic_upkeep",
  "privileges": [
   {
    "resource": {
     "db": "preklic",
     "collection": "accounts"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "acts"
    },
    "actions": [
     "find",
     "insert"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "ages"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "askings"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "batches"
    },
    "actions": [
     "find",
     "insert"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "campaigns"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "checkpoints"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "controls"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "copies"
    },
    "actions": [
     "find",
     "remove"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "cosignatures"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "dead"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "events"
    },
    "actions": [
     "find",
     "insert",
     "remove"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "feeds"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "held_mails"
    },
    "actions": [
     "find",
     "insert",
     "update",
     "remove"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "holders"
    },
    "actions": [
     "find",
     "insert",
     "update",
     "remove"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "intents"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "leases"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "ledger"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "marks"
    },
    "actions": [
     "find",
     "insert",
     "update",
     "remove"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "messages"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "operators"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "permissions"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "persons"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "plans"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "requests"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "schedule"
    },
    "actions": [
     "find",
     "insert",
     "update",
     "remove"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "stamps"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "standing"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "statistics"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "versions"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "webhook_failures"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "webhooks"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "withdrawals"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "wordings"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic_keys",
     "collection": "keys"
    },
    "actions": [
     "find",
     "insert",
     "update",
     "remove"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": ""
    },
    "actions": [
     "listCollections",
     "listIndexes"
    ]
   },
   {
    "resource": {
     "db": "preklic_keys",
     "collection": ""
    },
    "actions": [
     "listCollections",
     "listIndexes"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": ""
    },
    "actions": [
     "changeStream",
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic_keys",
     "collection": "keys"
    },
    "actions": [
     "collMod"
    ]
   },
   {
    "resource": {
     "db": "preklic_proof",
     "collection": ""
    },
    "actions": [
     "find",
     "insert",
     "createCollection",
     "dropDatabase"
    ]
   }
  ],
  "roles": []
 },
 {
  "createRole": "preklic_look",
  "privileges": [
   {
    "resource": {
     "db": "preklic",
     "collection": "accounts"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "acts"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "ages"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "askings"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "batches"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "campaigns"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "checkpoints"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "controls"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "copies"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "cosignatures"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "dead"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "events"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "feeds"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "held_mails"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "holders"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "intents"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "leases"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "ledger"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "marks"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "messages"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "operators"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "permissions"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "persons"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "plans"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "requests"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "schedule"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "stamps"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "standing"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "statistics"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "versions"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "webhook_failures"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "webhooks"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "withdrawals"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "wordings"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": ""
    },
    "actions": [
     "listCollections",
     "listIndexes"
    ]
   },
   {
    "resource": {
     "db": "preklic_keys",
     "collection": ""
    },
    "actions": [
     "listCollections",
     "listIndexes"
    ]
   }
  ],
  "roles": []
 },
 {
  "createRole": "preklic_respond",
  "privileges": [
   {
    "resource": {
     "db": "preklic",
     "collection": "accounts"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "acts"
    },
    "actions": [
     "find",
     "insert"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "ages"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "askings"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "batches"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "campaigns"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "checkpoints"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "controls"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "copies"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "cosignatures"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "dead"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "events"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "feeds"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "held_mails"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "holders"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "intents"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "leases"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "ledger"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "marks"
    },
    "actions": [
     "find",
     "remove"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "messages"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "operators"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "permissions"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "persons"
    },
    "actions": [
     "find",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "plans"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "requests"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "schedule"
    },
    "actions": [
     "find",
     "update",
     "remove"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "stamps"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "standing"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "statistics"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "versions"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "webhook_failures"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "webhooks"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "withdrawals"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": "wordings"
    },
    "actions": [
     "find"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": ""
    },
    "actions": [
     "listCollections",
     "listIndexes"
    ]
   },
   {
    "resource": {
     "db": "preklic_keys",
     "collection": ""
    },
    "actions": [
     "listCollections",
     "listIndexes"
    ]
   }
  ],
  "roles": []
 },
 {
  "createRole": "preklic_topology",
  "privileges": [
   {
    "resource": {
     "db": "preklic",
     "collection": "versions"
    },
    "actions": [
     "find",
     "insert",
     "update"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": ""
    },
    "actions": [
     "listCollections",
     "listIndexes"
    ]
   },
   {
    "resource": {
     "db": "preklic_keys",
     "collection": ""
    },
    "actions": [
     "listCollections",
     "listIndexes"
    ]
   },
   {
    "resource": {
     "db": "preklic",
     "collection": ""
    },
    "actions": [
     "collMod",
     "createCollection",
     "createIndex",
     "dropIndex"
    ]
   },
   {
    "resource": {
     "db": "preklic_keys",
     "collection": ""
    },
    "actions": [
     "collMod",
     "createCollection",
     "createIndex",
     "dropIndex"
    ]
   }
  ],
  "roles": []
 }
];
const run = (command) => {
  const answer = admin.runCommand(command);
  if (answer.ok !== 1) throw new Error(`${Object.keys(command)[0]}: ${answer.codeName}`);
  return answer;
};
const there = (kind, name) => run({ [`${kind}Info`]: name })[kind].length > 0;
const named = (command, verb, name) => Object.fromEntries(
  Object.entries(command).map(([key, value], place) => (place === 0 ? [verb, name] : [key, value])),
);
for (const role of roles) {
  run(there("roles", role.createRole) ? named(role, "updateRole", role.createRole) : role);
}
if (process.env.PREKLIC_USERS) {
  const users = JSON.parse(require("fs").readFileSync(process.env.PREKLIC_USERS, "utf8"));
  const known = new Map(roles.map((role) => [role.createRole.slice("preklic_".length), role.createRole]));
  for (const [user, pwd] of Object.entries(users)) {
    const role = known.get(user.split(".")[0]);
    if (role === undefined) continue; // a user of RabbitMQ alone
    const name = `preklic_${user}`;
    run({ [there("users", name) ? "updateUser" : "createUser"]: name, pwd, roles: [role] });
  }
}
