module.exports = require('./service.cjs')({
  sluice: require('sluice'),
  body: require('sluice/body'),
  channel: require('sluice/channel'),
  compress: require('sluice/compress'),
  deadline: require('sluice/deadline'),
  heartbeat: require('sluice/heartbeat'),
  lifecycle: require('sluice/lifecycle'),
  monitor: require('sluice/monitor'),
  proxy: require('sluice/proxy'),
  records: require('sluice/records'),
  sse: require('sluice/sse'),
});
