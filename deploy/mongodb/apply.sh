#!/bin/bash
# Makes the replica set of one member, then the roles and users of roles.js. Safe to repeat.
set -euo pipefail

password=$(cat /run/secrets/mongo_administrator)
url="mongodb://administrator:${password}@mongo:27017/?tls=true&tlsCAFile=/run/secrets/ca&authSource=admin"

mongosh --quiet "${url}&directConnection=true" --eval '
  try { rs.status(); } catch (error) {
    if (error.codeName !== "NotYetInitialized") throw error;
    rs.initiate({ _id: "preklic", members: [{ _id: 0, host: "mongo:27017" }] });
  }
  while (!db.hello().isWritablePrimary) sleep(200);
'
mongosh --quiet "${url}&replicaSet=preklic" /roles/roles.js
