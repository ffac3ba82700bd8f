module.exports = require('./try-client.cjs')(require('sluice/client'));
